/** Tells Prisma where the schema stands, and lets `prisma generate` run where its native engine cannot be had. */
import { defineConfig } from "prisma/config";

// Only `prisma migrate` needs the real engine; generate merely checks that the file exists and can be run.
process.env["PRISMA_SCHEMA_ENGINE_BINARY"] ??= process.execPath;

export default defineConfig({ schema: "prisma/schema.prisma", migrations: { path: "prisma/migrations" } });
