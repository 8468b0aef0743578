/** Chooses the account that the embedded Postgres runs as, since Postgres refuses to run as root. */
import { chmod, chown, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { OperatorError } from "../../errors.ts";
import { type Account, runProgram } from "./program.ts";

/**
 * The ids to try for the server. Neither distributions nor systemd give away those from 60706 to 61183:
 * https://systemd.io/UIDS-GIDS. `user` of a job cannot name them, because no account has them.
 */
const FIRST_ID = 60_706;

/**
 * Returns the service's own account. For root, returns an id of the server's own that no account has, if it can reach
 * the programs and the data, or else root in a user namespace, where it has another user id.
 *
 * @param dataDir a path without symbolic links; its mode is set so that only the service and the server can enter
 * @throws OperatorError that says what to do when root can use neither
 */
export async function chooseAccount(dataDir: string, postgres: string): Promise<Account> {
  const own = { uid: process.geteuid?.() ?? -1, gid: process.getegid?.() ?? -1, switchUser: false };
  const wrapper = await parentDeathWrapper(own);
  if (own.uid !== 0) {
    await chmod(dataDir, 0o700);
    return { ...own, wrapper };
  }

  const id = await freeId();
  const account = { uid: id, gid: id, switchUser: true, wrapper };
  await chown(dataDir, 0, id);
  await chmod(dataDir, 0o710);
  if (await canReach(account, dataDir, postgres)) return account;

  await chmod(dataDir, 0o700);
  const nobody = await nobodyAccount();
  // The id must have a name in /etc/passwd: initdb requires one.
  const names = [`--map-user=${nobody.uid}`, `--map-group=${nobody.gid}`];
  const renamed = { ...own, wrapper: ["unshare", "--user", ...names, "--", ...wrapper] };
  if (await canReach(renamed, dataDir, postgres)) return renamed;
  throw new OperatorError(
    `Postgres refuses to run as root, and no other user can reach ${dataDir}, ${tmpdir()} and ` +
      `${postgres}. Start Carillon as an ordinary user, or open the folders above them (chmod a+x), ` +
      "or set DATABASE_URL to your own Postgres.",
  );
}

/** The account that owns nothing. It has a name in /etc/passwd, which initdb requires. */
export async function nobodyAccount(): Promise<Account> {
  const [, , uid, gid] = (await entries("/etc/passwd")).find(([name]) => name === "nobody") ?? [];
  // The usual ids on Linux, used when there is no entry.
  return { uid: Number(uid ?? 65_534), gid: Number(gid ?? 65_534), switchUser: true, wrapper: [] };
}

/** The first id that neither an account nor a group has. */
async function freeId(): Promise<number> {
  const rows = [...(await entries("/etc/passwd")), ...(await entries("/etc/group"))];
  const taken = new Set(rows.map(([, , id]) => Number(id)));
  let id = FIRST_ID;
  while (taken.has(id)) id++;
  return id;
}

/** The fields of the lines of a file in the form of passwd(5); none when the file does not exist. */
async function entries(file: string): Promise<string[][]> {
  const text = await readFile(file, "utf8").catch(() => "");
  return text.split("\n").map((line) => line.split(":"));
}

/** Returns the command prefix that ends a program when its parent dies; empty where the system has no such command. */
async function parentDeathWrapper(own: Omit<Account, "wrapper">): Promise<string[]> {
  const wrapper = ["setpriv", "--pdeathsig", "INT", "--"];
  return (await succeeds({ ...own, wrapper }, "true", [])) ? wrapper : [];
}

/** Whether an account can enter the data folder and the temporary folder, and run the program. */
function canReach(account: Account, dataDir: string, postgres: string): Promise<boolean> {
  const script = 'cd "$0" && cd "$1" && exec "$2" --version';
  return succeeds(account, "sh", ["-c", script, dataDir, tmpdir(), postgres]);
}

function succeeds(account: Account, program: string, args: string[]): Promise<boolean> {
  return runProgram(account, program, args).then(
    () => true,
    () => false,
  );
}
