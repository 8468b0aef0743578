-- CreateEnum
CREATE TYPE "missed_runs_policy" AS ENUM ('skip', 'last', 'all');

-- AlterEnum
ALTER TYPE "overlap_policy" ADD VALUE 'replace';

-- AlterTable, written by hand: what was one whole piece begins at 0.
ALTER TABLE "attempt_log" RENAME COLUMN "sequence" TO "position";
ALTER TABLE "attempt_log" ALTER COLUMN "position" TYPE BIGINT;
ALTER TABLE "attempt_log" DROP COLUMN "omitted_bytes";

-- AlterTable
ALTER TABLE "job_revision" ADD COLUMN     "catchup_window_ms" BIGINT,
ADD COLUMN     "jitter_ms" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN     "log_limit_bytes" INTEGER,
ADD COLUMN     "missed_runs" "missed_runs_policy" NOT NULL DEFAULT 'skip',
ADD COLUMN     "params" TEXT[] DEFAULT ARRAY[]::TEXT[],
ADD COLUMN     "pool" TEXT NOT NULL DEFAULT 'default',
ADD COLUMN     "secret_env" JSONB NOT NULL DEFAULT '{}',
ADD COLUMN     "user" TEXT;

-- AlterTable
ALTER TABLE "run" ADD COLUMN     "cancel_requested_at" TIMESTAMPTZ(3);

-- CreateTable
CREATE TABLE "scheduler_progress" (
    "id" INTEGER NOT NULL DEFAULT 1,
    "slots_until" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "scheduler_progress_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "token" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "hash" TEXT NOT NULL,
    "scopes" TEXT[],
    "jobs" TEXT[] DEFAULT ARRAY[]::TEXT[],
    "created_by" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "expires_at" TIMESTAMPTZ(3),
    "last_used_at" TIMESTAMPTZ(3),

    CONSTRAINT "token_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "secret" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "key_id" TEXT NOT NULL,
    "nonce" BYTEA NOT NULL,
    "ciphertext" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "secret_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "audit_entry" (
    "id" UUID NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "actor" TEXT NOT NULL,
    "address" TEXT NOT NULL,
    "action" TEXT NOT NULL,
    "target" TEXT NOT NULL,
    "changes" JSONB NOT NULL DEFAULT '{}',

    CONSTRAINT "audit_entry_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "token_name_key" ON "token"("name");

-- CreateIndex
CREATE UNIQUE INDEX "token_hash_key" ON "token"("hash");

-- CreateIndex
CREATE UNIQUE INDEX "secret_name_key" ON "secret"("name");

-- CreateIndex
CREATE INDEX "audit_entry_actor_id_idx" ON "audit_entry"("actor", "id" DESC);

-- CreateIndex
CREATE INDEX "audit_entry_target_id_idx" ON "audit_entry"("target", "id" DESC);
