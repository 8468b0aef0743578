-- CreateEnum
CREATE TYPE "trigger_type" AS ENUM ('cron', 'api', 'job', 'rerun', 'catch_up');

-- CreateEnum
CREATE TYPE "run_state" AS ENUM ('queued', 'running', 'retrying', 'succeeded', 'failed', 'cancelled', 'skipped', 'missed');

-- CreateEnum
CREATE TYPE "attempt_state" AS ENUM ('running', 'succeeded', 'failed', 'timed_out', 'cancelled', 'lost', 'start_failed', 'handed_back');

-- CreateEnum
CREATE TYPE "event_type" AS ENUM ('on_success', 'on_error', 'on_retries_exhausted');

-- CreateEnum
CREATE TYPE "action_type" AS ENUM ('notify_webhook', 'notify_slack_webhook', 'notify_discord_webhook', 'trigger_job');

-- CreateEnum
CREATE TYPE "backoff_type" AS ENUM ('constant', 'exponential');

-- CreateEnum
CREATE TYPE "overlap_policy" AS ENUM ('queue', 'skip');

-- CreateEnum
CREATE TYPE "delivery_state" AS ENUM ('pending', 'delivered', 'failed', 'blocked');

-- CreateTable
CREATE TABLE "definition_version" (
    "id" INTEGER NOT NULL DEFAULT 1,
    "version" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "definition_version_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "schedule" (
    "id" UUID NOT NULL DEFAULT gen_random_uuid(),
    "name" TEXT NOT NULL,
    "tz_location" TEXT,
    "log_retention_ms" BIGINT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "deleted_at" TIMESTAMPTZ(3),

    CONSTRAINT "schedule_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "job" (
    "id" UUID NOT NULL DEFAULT gen_random_uuid(),
    "schedule_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "current_revision_id" UUID,
    "concurrency_limit" INTEGER,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "deleted_at" TIMESTAMPTZ(3),
    "paused_at" TIMESTAMPTZ(3),
    "paused_by" TEXT,
    "pause_reason" TEXT,

    CONSTRAINT "job_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "job_revision" (
    "id" UUID NOT NULL DEFAULT gen_random_uuid(),
    "job_id" UUID NOT NULL,
    "number" INTEGER NOT NULL,
    "shell" BOOLEAN NOT NULL,
    "command" TEXT[],
    "cron" TEXT[],
    "timezone" TEXT,
    "env" JSONB NOT NULL DEFAULT '{}',
    "working_directory" TEXT,
    "retry_limit" INTEGER NOT NULL,
    "retry_delay_ms" INTEGER NOT NULL,
    "retry_backoff" "backoff_type" NOT NULL,
    "retry_max_delay_ms" INTEGER,
    "retry_jitter" DOUBLE PRECISION NOT NULL,
    "retry_exit_codes" INTEGER[],
    "timeout_ms" INTEGER,
    "concurrency_limit" INTEGER,
    "concurrency_policy" "overlap_policy" NOT NULL DEFAULT 'queue',
    "log_retention_ms" BIGINT,
    "allow_cycle" BOOLEAN NOT NULL DEFAULT false,
    "enabled" BOOLEAN NOT NULL,
    "description" TEXT,
    "labels" JSONB NOT NULL DEFAULT '{}',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "job_revision_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "event_action" (
    "id" UUID NOT NULL DEFAULT gen_random_uuid(),
    "job_revision_id" UUID,
    "schedule_id" UUID,
    "event" "event_type" NOT NULL,
    "action" "action_type" NOT NULL,
    "url" TEXT,
    "target_job_id" UUID,
    "options" JSONB NOT NULL DEFAULT '{}',
    "position" INTEGER NOT NULL,

    CONSTRAINT "event_action_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "run" (
    "id" UUID NOT NULL,
    "job_id" UUID NOT NULL,
    "revision_id" UUID NOT NULL,
    "state" "run_state" NOT NULL DEFAULT 'queued',
    "trigger" "trigger_type" NOT NULL,
    "triggered_by" TEXT NOT NULL,
    "triggered_at" TIMESTAMPTZ(3) NOT NULL,
    "scheduled_for" TIMESTAMPTZ(3),
    "env" JSONB NOT NULL DEFAULT '{}',
    "fire_events" BOOLEAN NOT NULL DEFAULT true,
    "parent_event_id" UUID,
    "depth" INTEGER NOT NULL DEFAULT 1,
    "rerun_of_id" UUID,
    "attempt" INTEGER NOT NULL DEFAULT 0,
    "status" INTEGER,
    "retries_exhausted" BOOLEAN NOT NULL DEFAULT false,
    "started_at" TIMESTAMPTZ(3),
    "finished_at" TIMESTAMPTZ(3),
    "next_attempt_at" TIMESTAMPTZ(3),
    "message_id" UUID,
    "reason" TEXT,

    CONSTRAINT "run_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "idempotency_key" (
    "key" TEXT NOT NULL,
    "fingerprint" TEXT NOT NULL,
    "run_id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "idempotency_key_pkey" PRIMARY KEY ("key")
);

-- CreateTable
CREATE TABLE "attempt" (
    "id" UUID NOT NULL,
    "run_id" UUID NOT NULL,
    "number" INTEGER NOT NULL,
    "claim" INTEGER NOT NULL DEFAULT 0,
    "state" "attempt_state" NOT NULL DEFAULT 'running',
    "status" INTEGER,
    "worker" TEXT NOT NULL,
    "reason" TEXT,
    "started_at" TIMESTAMPTZ(3) NOT NULL,
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "attempt_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "attempt_log" (
    "attempt_id" UUID NOT NULL,
    "sequence" INTEGER NOT NULL,
    "bytes" BYTEA NOT NULL,
    "omitted_bytes" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "attempt_log_pkey" PRIMARY KEY ("attempt_id","sequence")
);

-- CreateTable
CREATE TABLE "run_event" (
    "id" UUID NOT NULL,
    "run_id" UUID NOT NULL,
    "attempt_id" UUID NOT NULL,
    "attempt" INTEGER NOT NULL,
    "event" "event_type" NOT NULL,
    "body" TEXT NOT NULL,
    "refusals" JSONB NOT NULL DEFAULT '[]',
    "created_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "run_event_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "delivery" (
    "id" UUID NOT NULL,
    "event_id" UUID NOT NULL,
    "action" "action_type" NOT NULL,
    "url" TEXT NOT NULL,
    "options" JSONB NOT NULL DEFAULT '{}',
    "state" "delivery_state" NOT NULL DEFAULT 'pending',
    "tries" INTEGER NOT NULL DEFAULT 0,
    "earlier_tries" INTEGER NOT NULL DEFAULT 0,
    "next_try_at" TIMESTAMPTZ(3),
    "message_id" UUID,
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "finished_at" TIMESTAMPTZ(3),

    CONSTRAINT "delivery_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "delivery_try" (
    "delivery_id" UUID NOT NULL,
    "number" INTEGER NOT NULL,
    "started_at" TIMESTAMPTZ(3) NOT NULL,
    "duration_ms" INTEGER NOT NULL,
    "status" INTEGER,
    "error" TEXT,
    "response" TEXT,

    CONSTRAINT "delivery_try_pkey" PRIMARY KEY ("delivery_id","number")
);

-- CreateIndex
CREATE UNIQUE INDEX "schedule_name_key" ON "schedule"("name");

-- CreateIndex
CREATE UNIQUE INDEX "job_current_revision_id_key" ON "job"("current_revision_id");

-- CreateIndex
CREATE INDEX "job_name_idx" ON "job"("name");

-- CreateIndex
CREATE INDEX "job_schedule_id_idx" ON "job"("schedule_id");

-- CreateIndex
CREATE UNIQUE INDEX "job_revision_job_id_number_key" ON "job_revision"("job_id", "number");

-- CreateIndex
CREATE INDEX "event_action_job_revision_id_idx" ON "event_action"("job_revision_id");

-- CreateIndex
CREATE INDEX "event_action_schedule_id_idx" ON "event_action"("schedule_id");

-- CreateIndex
CREATE INDEX "event_action_target_job_id_idx" ON "event_action"("target_job_id");

-- CreateIndex
CREATE INDEX "run_job_id_id_idx" ON "run"("job_id", "id" DESC);

-- CreateIndex
CREATE INDEX "run_state_id_idx" ON "run"("state", "id" DESC);

-- CreateIndex
CREATE INDEX "run_parent_event_id_idx" ON "run"("parent_event_id");

-- CreateIndex
CREATE INDEX "run_rerun_of_id_idx" ON "run"("rerun_of_id");

-- CreateIndex
CREATE INDEX "run_revision_id_idx" ON "run"("revision_id");

-- CreateIndex
CREATE UNIQUE INDEX "run_job_id_scheduled_for_key" ON "run"("job_id", "scheduled_for");

-- CreateIndex
CREATE INDEX "idempotency_key_created_at_idx" ON "idempotency_key"("created_at");

-- CreateIndex
CREATE INDEX "idempotency_key_run_id_idx" ON "idempotency_key"("run_id");

-- CreateIndex
CREATE UNIQUE INDEX "attempt_run_id_number_claim_key" ON "attempt"("run_id", "number", "claim");

-- CreateIndex
CREATE INDEX "run_event_attempt_id_idx" ON "run_event"("attempt_id");

-- CreateIndex
CREATE UNIQUE INDEX "run_event_run_id_attempt_event_key" ON "run_event"("run_id", "attempt", "event");

-- CreateIndex
CREATE INDEX "delivery_state_id_idx" ON "delivery"("state", "id");

-- CreateIndex
CREATE UNIQUE INDEX "delivery_event_id_action_url_key" ON "delivery"("event_id", "action", "url");

-- AddForeignKey
ALTER TABLE "job" ADD CONSTRAINT "job_schedule_id_fkey" FOREIGN KEY ("schedule_id") REFERENCES "schedule"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "job" ADD CONSTRAINT "job_current_revision_id_fkey" FOREIGN KEY ("current_revision_id") REFERENCES "job_revision"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "job_revision" ADD CONSTRAINT "job_revision_job_id_fkey" FOREIGN KEY ("job_id") REFERENCES "job"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "event_action" ADD CONSTRAINT "event_action_job_revision_id_fkey" FOREIGN KEY ("job_revision_id") REFERENCES "job_revision"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "event_action" ADD CONSTRAINT "event_action_schedule_id_fkey" FOREIGN KEY ("schedule_id") REFERENCES "schedule"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "event_action" ADD CONSTRAINT "event_action_target_job_id_fkey" FOREIGN KEY ("target_job_id") REFERENCES "job"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "run" ADD CONSTRAINT "run_job_id_fkey" FOREIGN KEY ("job_id") REFERENCES "job"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "run" ADD CONSTRAINT "run_revision_id_fkey" FOREIGN KEY ("revision_id") REFERENCES "job_revision"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "run" ADD CONSTRAINT "run_parent_event_id_fkey" FOREIGN KEY ("parent_event_id") REFERENCES "run_event"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "run" ADD CONSTRAINT "run_rerun_of_id_fkey" FOREIGN KEY ("rerun_of_id") REFERENCES "run"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "idempotency_key" ADD CONSTRAINT "idempotency_key_run_id_fkey" FOREIGN KEY ("run_id") REFERENCES "run"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "attempt" ADD CONSTRAINT "attempt_run_id_fkey" FOREIGN KEY ("run_id") REFERENCES "run"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "attempt_log" ADD CONSTRAINT "attempt_log_attempt_id_fkey" FOREIGN KEY ("attempt_id") REFERENCES "attempt"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "run_event" ADD CONSTRAINT "run_event_run_id_fkey" FOREIGN KEY ("run_id") REFERENCES "run"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "run_event" ADD CONSTRAINT "run_event_attempt_id_fkey" FOREIGN KEY ("attempt_id") REFERENCES "attempt"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "delivery" ADD CONSTRAINT "delivery_event_id_fkey" FOREIGN KEY ("event_id") REFERENCES "run_event"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "delivery_try" ADD CONSTRAINT "delivery_try_delivery_id_fkey" FOREIGN KEY ("delivery_id") REFERENCES "delivery"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- Written by hand: a name is taken only while its job is not deleted.
CREATE UNIQUE INDEX "job_live_name" ON "job" ("name") WHERE "deleted_at" IS NULL;

-- The runs that have not ended: few among many.
CREATE INDEX run_active ON run (job_id, id) WHERE state IN ('queued', 'running', 'retrying');

-- The runs that have ended, job by job from the oldest: what retention reads.
CREATE INDEX run_ended ON run (job_id, finished_at, id) WHERE finished_at IS NOT NULL;
