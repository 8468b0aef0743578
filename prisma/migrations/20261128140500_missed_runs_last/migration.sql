-- AlterTable
ALTER TABLE "job_revision" ALTER COLUMN "missed_runs" SET DEFAULT 'last';

-- Written by hand: a revision without a window was saved before the two fields existed, so `skip` was filled in for it.
-- All later ones have a window, and may have asked for `skip`.
UPDATE job_revision SET missed_runs = 'last' WHERE catchup_window_ms IS NULL AND missed_runs = 'skip';
