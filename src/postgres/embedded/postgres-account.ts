/** Chooses the account that the embedded Postgres runs as, since Postgres refuses to run as root. */
import { chmod, chown, readFile, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { OperatorError } from "../../errors.ts";
import { type Account, runProgram } from "./program.ts";

type User = Pick<Account, "uid" | "gid">;

// The usual ids on Linux, used when /etc/passwd has no entry.
const NOBODY: User = { uid: 65534, gid: 65534 };

/**
 * Returns the service's own account. For root, returns another user who can reach the programs and the data, or else
 * root in a user namespace, where it has another user id.
 *
 * @param dataDir a path without symbolic links; its mode is set so that only the service and that user can enter
 * @throws OperatorError that says what to do when root can use neither
 */
export async function chooseAccount(dataDir: string, postgres: string): Promise<Account> {
  const own = { uid: process.geteuid?.() ?? -1, gid: process.getegid?.() ?? -1, switchUser: false };
  const wrapper = await parentDeathWrapper(own);
  if (own.uid !== 0) {
    await chmod(dataDir, 0o700);
    return { ...own, wrapper };
  }

  const users = await readUsers();
  const nobody = users.get("nobody") ?? NOBODY;
  for (const user of [...(await ownersAround(dataDir, users)), nobody]) {
    const account = { ...user, switchUser: true, wrapper };
    await allowEntry(user, dataDir);
    if (await canReach(account, dataDir, postgres)) return account;
  }

  await chmod(dataDir, 0o700);
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

/** Lets a user enter a folder that belongs to another user. */
async function allowEntry(user: User, folder: string): Promise<void> {
  const { uid } = await stat(folder);
  if (uid !== user.uid) await chown(folder, uid, user.gid);
  await chmod(folder, uid === user.uid ? 0o700 : 0o710);
}

/** Returns the owners of the folder and of its parent folder, except root. */
async function ownersAround(folder: string, users: Map<string, User>): Promise<User[]> {
  const owners = await Promise.all(
    [folder, path.dirname(folder)].map(async (each) => (await stat(each)).uid),
  );
  return [...users.values()]
    .filter(({ uid }) => uid !== 0 && owners.includes(uid))
    .sort((a, b) => owners.indexOf(a.uid) - owners.indexOf(b.uid));
}

async function readUsers(): Promise<Map<string, User>> {
  const lines = (await readFile("/etc/passwd", "utf8")).split("\n");
  return new Map(
    lines.map((line) => {
      const [name = "", , uid, gid] = line.split(":");
      return [name, { uid: Number(uid), gid: Number(gid) }];
    }),
  );
}
