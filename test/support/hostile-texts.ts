/** Texts of 50 kB on which a careless pattern takes for ever: repetitions of what it looks for, then a disappointment. */

const LENGTH = 50_000;
const ALWAYS = [
  "a",
  "A",
  "0",
  "1",
  " ",
  "\t",
  "\n",
  "-",
  ".",
  "/",
  ":",
  ",",
  '"',
  "\\",
  "[",
  "{",
  "é",
  "\u0000",
  "😀",
];
/** One character that each class of characters has. */
const CLASSES: Record<string, string> = {
  d: "7",
  w: "w",
  s: " ",
  S: "x",
  D: "x",
  W: "-",
  n: "\n",
  t: "\t",
  r: "\r",
};
const ENDS = ["", "!", "\u0000x", "\n!"];
const LONGEST_PART = 4;

/** @param source of a pattern */
export function* hostileTexts(source: string): Generator<string> {
  for (const unit of units(source)) {
    const text = unit.repeat(Math.ceil(LENGTH / unit.length));
    for (const end of ENDS) yield text + end;
    // A beginning that fits, where only that leads on to the repetition.
    yield `${[...plain(source)][0] ?? ""}${text}!`;
  }
}

function units(source: string): Set<string> {
  const letters = [...plain(source)];
  const parts = letters.flatMap((_, start) =>
    Array.from({ length: LONGEST_PART }, (_, more) => letters.slice(start, start + more + 1).join("")),
  );
  return new Set([...ALWAYS, ...parts].filter((unit) => unit !== ""));
}

/** What a pattern says, without its signs: a text near to what it matches. */
function plain(source: string): string {
  return source
    .replaceAll(/\\([dwsSDWntr])/g, (_, name: string) => CLASSES[name] ?? "")
    .replaceAll(/\\[pP]\{[^}]*\}/g, "p")
    .replaceAll(/\{\d*,?\d*\}|\(\?(?:[:=!]|<[=!]|<\w+>)|[()|*+?^$]|\[\^?|\]/g, "")
    .replaceAll(/\\(.)/g, "$1");
}
