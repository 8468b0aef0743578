-- AlterTable
ALTER TABLE "run" ADD COLUMN     "root_id" UUID;

-- Written by hand: the chains that exist.
WITH RECURSIVE descendant (id, root_id) AS (
  SELECT c.id, p.id FROM run p JOIN run_event e ON e.run_id = p.id JOIN run c ON c.parent_event_id = e.id
  WHERE p.parent_event_id IS NULL
  UNION ALL
  SELECT c.id, d.root_id FROM descendant d JOIN run_event e ON e.run_id = d.id JOIN run c ON c.parent_event_id = e.id
)
UPDATE run SET root_id = descendant.root_id FROM descendant WHERE run.id = descendant.id;

-- The runs of a chain, newest first. Most runs are alone.
CREATE INDEX run_root ON run (root_id, id DESC) WHERE root_id IS NOT NULL;
