/** Runs Prisma's schema engine as WebAssembly, since the native engine is a download that some machines cannot reach. */
import { readFileSync } from "node:fs";
import { PrismaPg } from "@prisma/adapter-pg";
import { bindMigrationAwareSqlAdapterFactory, ColumnTypeEnum } from "@prisma/driver-adapter-utils";
import * as wasm from "@prisma/schema-engine-wasm/schema_engine_bg";
import pg from "pg";
import { sessionConfig } from "../../src/postgres/session.ts";

// Neither the ES library nor Node's types declare it.
declare const WebAssembly: {
  instantiate(
    bytes: Uint8Array,
    imports: object,
  ): Promise<{ instance: { exports: { __wbindgen_start(): void } } }>;
};

/** The text of schema.prisma. */
export const SCHEMA = readFileSync(new URL("../../prisma/schema.prisma", import.meta.url), "utf8");

// Object ids of Postgres' types "char" and "char"[].
const CHAR = 18;
const CHAR_ARRAY = 1002;

// Once per process: the bindings hold a single instance, and a second instance breaks objects of the first.
const engineFile = import.meta.resolve("@prisma/schema-engine-wasm/schema_engine_bg").replace(/js$/, "wasm");
const { instance } = await WebAssembly.instantiate(readFileSync(new URL(engineFile)), {
  "./schema_engine_bg.js": { ...wasm },
});
wasm.__wbg_set_wasm(instance.exports);
instance.exports.__wbindgen_start();
// The engine reports the reason of a panic here. Without this object the reason is lost.
Object.assign(globalThis, { PRISMA_WASM_PANIC_REGISTRY: { set_message: console.error } });

/** Calls `work` with Prisma's schema engine, connected to a database. */
export async function withSchemaEngine<T>(
  connectionString: string,
  work: (engine: wasm.SchemaEngine) => Promise<T>,
): Promise<T> {
  const pool = cataloguePool(connectionString);
  const log = (): void => undefined;
  const adapter = bindMigrationAwareSqlAdapterFactory(new CatalogueAdapter(pool));
  try {
    const engine = await wasm.SchemaEngine.new({ datamodels: [["schema.prisma", SCHEMA]] }, log, adapter);
    return await work(engine).finally(() => engine.free());
  } finally {
    await pool.end();
  }
}

/**
 * The adapter refuses the catalogue's type "char", which the engine reads. It does know arrays of it, which the
 * engine does not read: the pool calls the one the other, and CatalogueAdapter calls it by its name again.
 */
function cataloguePool(connectionString: string): pg.Pool {
  const pool = new pg.Pool(sessionConfig(connectionString));
  const query = pool.query.bind(pool) as (config: pg.QueryArrayConfig) => Promise<pg.QueryArrayResult>;
  const retyped = async (config: pg.QueryArrayConfig): Promise<pg.QueryArrayResult> => {
    const result = await query(config);
    for (const field of result.fields) if (field.dataTypeID === CHAR) field.dataTypeID = CHAR_ARRAY;
    return result;
  };
  return Object.assign(pool, { query: retyped });
}

class CatalogueAdapter extends PrismaPg {
  override async connect(): ReturnType<PrismaPg["connect"]> {
    const adapter = await super.connect();
    const queryRaw = adapter.queryRaw.bind(adapter);
    adapter.queryRaw = async (query) => {
      const result = await queryRaw(query);
      const { CharacterArray, Character } = ColumnTypeEnum;
      const columnTypes = result.columnTypes.map((type) => (type === CharacterArray ? Character : type));
      return { ...result, columnTypes };
    };
    return adapter;
  }
}
