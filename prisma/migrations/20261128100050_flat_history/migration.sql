-- DropIndex
DROP INDEX "delivery_state_id_idx";

-- DropIndex
DROP INDEX "run_job_id_scheduled_for_key";

-- DropIndex
DROP INDEX "run_parent_event_id_idx";

-- DropIndex
DROP INDEX "run_rerun_of_id_idx";

-- DropIndex
DROP INDEX "run_revision_id_idx";

-- DropIndex
DROP INDEX "run_state_id_idx";

-- AlterTable, written by hand: a delivery belongs to the job of its run.
ALTER TABLE "delivery" ADD COLUMN     "job_id" UUID;
UPDATE "delivery" SET "job_id" = "run"."job_id" FROM "run_event" JOIN "run" ON "run"."id" = "run_event"."run_id"
  WHERE "run_event"."id" = "delivery"."event_id";
ALTER TABLE "delivery" ALTER COLUMN "job_id" SET NOT NULL;

-- CreateIndex
CREATE INDEX "job_revision_labels_idx" ON "job_revision" USING GIN ("labels" jsonb_path_ops);

-- CreateIndex
CREATE INDEX "delivery_job_id_id_idx" ON "delivery"("job_id", "id" DESC);

-- Written by hand. An index that names a column makes every change of this column write to all indexes. `state` changes
-- when a run starts, `ended_as` does not. With free space in its page, the new version of a started run needs no index.
DROP INDEX run_active;
DROP INDEX run_ended;
ALTER TABLE run ADD COLUMN ended_as run_state GENERATED ALWAYS AS
  (CASE WHEN state NOT IN ('queued', 'running', 'retrying') THEN state END) STORED;
ALTER TABLE run SET (fillfactor = 85);
ALTER TABLE attempt SET (fillfactor = 85);

-- The runs that have not ended: few among many.
CREATE INDEX run_active ON run (job_id, id) WHERE ended_as IS NULL;

-- The runs that have ended, job by job from the oldest: what retention and the statistics read.
CREATE INDEX run_ended ON run (job_id, finished_at, ended_as) WHERE finished_at IS NOT NULL;

-- Each slot becomes one run (promise 1).
CREATE UNIQUE INDEX run_slot ON run (job_id, scheduled_for) WHERE scheduled_for IS NOT NULL;

-- Most runs have neither.
CREATE INDEX run_parent ON run (parent_event_id) WHERE parent_event_id IS NOT NULL;
CREATE INDEX run_rerun ON run (rerun_of_id) WHERE rerun_of_id IS NOT NULL;

-- What the filters of lists look for, without the common values: a list finds those among the newest runs.
CREATE INDEX run_ended_as ON run (ended_as, id DESC) WHERE ended_as <> 'succeeded';
CREATE INDEX run_job_ended_as ON run (job_id, ended_as, id DESC) WHERE ended_as <> 'succeeded';
CREATE INDEX run_status ON run (status, id DESC) WHERE status <> 0;
CREATE INDEX run_trigger ON run (trigger, id DESC) WHERE trigger NOT IN ('cron', 'api');
CREATE INDEX run_triggered_by ON run (triggered_by, id DESC) WHERE triggered_by NOT IN ('cron', 'api');
CREATE INDEX delivery_state ON delivery (state, id DESC) WHERE state <> 'delivered';
