/** Decides as whom the embedded Postgres runs, which refuses to run as root. */
import { chmod, chown, readFile, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { OperatorError } from "../../errors.ts";
import { type Account, runProgram } from "./program.ts";

type User = Pick<Account, "uid" | "gid">;

// What Linux agrees on where /etc/passwd does not tell.
const NOBODY: User = { uid: 65534, gid: 65534 };

/**
 * The service's own account. For root it is another user who gets at the programs and the data, else root itself
 * in a user namespace, where it goes by another name.
 *
 * @param dataDir a real path; its mode is set so that nobody but the service and that user gets in
 * @throws an error that says what to do when root finds neither
 */
export async function chooseAccount(dataDir: string, postgres: string): Promise<Account> {
  const own = { uid: process.geteuid?.() ?? -1, gid: process.getegid?.() ?? -1, switchUser: false };
  const wrapper = await tether(own);
  if (own.uid !== 0) {
    await chmod(dataDir, 0o700);
    return { ...own, wrapper };
  }

  const users = await readUsers();
  const nobody = users.get("nobody") ?? NOBODY;
  for (const user of [...(await ownersAround(dataDir, users)), nobody]) {
    const account = { ...user, switchUser: true, wrapper };
    await admit(user, dataDir);
    if (await reaches(account, dataDir, postgres)) return account;
  }

  await chmod(dataDir, 0o700);
  // Not any number will do: initdb wants the user to have a name.
  const names = [`--map-user=${nobody.uid}`, `--map-group=${nobody.gid}`];
  const renamed = { ...own, wrapper: ["unshare", "--user", ...names, "--", ...wrapper] };
  if (await reaches(renamed, dataDir, postgres)) return renamed;
  throw new OperatorError(
    `Postgres refuses to run as root, and no other user gets at ${dataDir}, ${tmpdir()} and ` +
      `${postgres}. Start Carillon as an ordinary user, or open the folders above them (chmod a+x), ` +
      "or set DATABASE_URL to a Postgres of your own.",
  );
}

/** The command that ends a program when its parent dies, however that happens; empty where there is none. */
async function tether(own: Omit<Account, "wrapper">): Promise<string[]> {
  const wrapper = ["setpriv", "--pdeathsig", "INT", "--"];
  return (await succeeds({ ...own, wrapper }, "true", [])) ? wrapper : [];
}

/** Whether an account can enter the data folder and that of the socket, and run the program. */
function reaches(account: Account, dataDir: string, postgres: string): Promise<boolean> {
  const script = 'cd "$0" && cd "$1" && exec "$2" --version';
  return succeeds(account, "sh", ["-c", script, dataDir, tmpdir(), postgres]);
}

function succeeds(account: Account, program: string, args: string[]): Promise<boolean> {
  return runProgram(account, program, args).then(
    () => true,
    () => false,
  );
}

/** Lets a user pass through a folder that is another's. */
async function admit(user: User, folder: string): Promise<void> {
  const { uid } = await stat(folder);
  if (uid !== user.uid) await chown(folder, uid, user.gid);
  await chmod(folder, uid === user.uid ? 0o700 : 0o710);
}

/** Who owns the folder and the one above it, without root. */
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
