/** The entry point: starts Node with the settings that keep it small, and then the service. */
import { applySettings, dropCompiler } from "./node-settings.ts";

applySettings();
const { runService } = await import("./run-service.ts");
dropCompiler();
await runService();
