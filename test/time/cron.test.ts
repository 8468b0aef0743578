/** Tests of the cron dialect: macros, fields, and the messages for refused expressions. */

import { describe, expect, test } from "vitest";
import { CronError, parseCron } from "../../src/time/cron.ts";

describe("a macro or longer form equals five fields", () => {
  test.each([
    ["@yearly", "0 0 1 1 *"],
    ["@annually", "0 0 1 1 *"],
    ["@monthly", "0 0 1 * *"],
    ["@weekly", "0 0 * * 0"],
    ["@daily", "0 0 * * *"],
    ["@midnight", "0 0 * * *"],
    ["@hourly", "0 * * * *"],
    ["@30minutes", "0,30 * * * *"],
    ["@15minutes", "*/15 * * * *"],
    ["@10minutes", "*/10 * * * *"],
    ["@5minutes", "*/5 * * * *"],
    ["@everyminute", "* * * * *"],
    ["@always", "* * * * *"],
    [" @Daily ", "0 0 * * *"],
    ["0 30 8 * * 1-5", "30 8 * * 1-5"],
    ["0 30 8 * * 1-5 *", "30 8 * * 1-5"],
    ["  30\t8  * *\n1-5 ", "30 8 * * 1-5"],
    ["0 0 ? JAN,jul ?", "0 0 * 1,7 *"],
    ["0 0 * * 7", "0 0 * * SUN"],
    ["0 0 * * FRI-SUN", "0 0 * * 5,6,0"],
    ["0 22-2 * * *", "0 22,23,0,1,2 * * *"],
    ["5/20 0 * * *", "5,25,45 0 * * *"],
    ["0 0 * * mon/2", "0 0 * * 1,3,5"],
    ["*,5 0 * * *", "* 0 * * *"],
    ["0 0 * * fri#2", "0 0 * * 5#2"],
    ["0 0 lw * *", "0 0 LW * *"],
  ])("%s = %s", (text, five) => {
    const { weekDays, ...cron } = parseCron(text);
    const { weekDays: expected, ...twin } = parseCron(five);
    expect(cron).toEqual(twin);
    expect(weekDays).toEqual(expect.arrayContaining([...expected]));
    expect(weekDays).toHaveLength(expected.length);
  });
});

test("@everysecond and six fields include seconds", () => {
  expect(parseCron("@everysecond").seconds).toHaveLength(60);
  expect(parseCron("*/20 * * * * *").seconds).toEqual([0, 20, 40]);
  expect(parseCron("* * * * *").seconds).toEqual([0]);
});

describe("a fixed time has neither a wildcard minute nor a wildcard hour", () => {
  test.each([
    ["30 2 * * *", true],
    ["0,30 1-3 * * *", true],
    ["* 30 2 * * *", true],
    ["5/20 2 * * *", true],
    ["*/15 2 * * *", false],
    ["30 */2 * * *", false],
    ["30 * * * *", false],
    ["30 0-23 * * *", false],
    ["0-59 2 * * *", false],
  ])("%s: %s", (text, fixedTime) => {
    expect(parseCron(text).fixedTime).toBe(fixedTime);
  });
});

describe("one matching day field is enough when both are restricted", () => {
  test.each([
    ["0 0 13 * 5", true],
    ["0 0 L * 5#2", true],
    ["0 0 1-31 * 5", true],
    ["0 0 */2 * 5", false],
    ["0 0 13 * */2", false],
    ["0 0 ? * 5", false],
    ["0 0 13 * *", false],
  ])("%s: %s", (text, eitherDay) => {
    expect(parseCron(text).eitherDay).toBe(eitherDay);
  });
});

describe("parseCron refuses with a message that names the field and a correct form", () => {
  test.each([
    ["", /write minute, hour, day of month/],
    ["* * * *", /write minute, hour, day of month/],
    ["0 0 0 * * * * *", /write minute, hour, day of month/],
    ["constructor", /is not a cron expression/],
    ["@reboot", /unknown word "@reboot": write one of @yearly/],
    ["0 0 0 1 1 * 2030", /names a year/],
    ["0 0 1 1 * 2030", /names a year/],
    ["60 * * * * *", /second "60" is not valid: write 0-59/],
    ["61 * * * *", /minute "61" is not valid: write 0-59/],
    ["0 24 * * *", /hour "24"/],
    ["0 0 32 * *", /day of month "32"/],
    ["0 0 5-0 * *", /day of month "5-0"/],
    ["0 0 * 13 *", /month "13"/],
    ["0 0 * * 8", /day of week "8".*MON-FRI/],
    ["0 0 * * 5#6", /day of week "5#6"/],
    ["*/0 * * * *", /minute "\*\/0"/],
    ["1,,2 * * * *", /minute "1,,2"/],
    ["5* * * * *", /minute "5\*"/],
    ["70-5 * * * *", /minute "70-5"/],
    ["70/5 * * * *", /minute "70\/5"/],
    ["? * * * *", /minute "\?"/],
    ["0 0 * 1jan *", /month "1jan"/],
    ["0 0 * mon *", /month "mon"/],
    ["0 0 1-5W * *", /day of month "1-5W"/],
    ["0-999999999 * * * *", /minute "0-999999999"/],
    ["$(id) * * * *", /minute "\$\(id\)"/],
    ["0 0 31 2 *", /day of month "31".*in a month that has the day/],
    ["0 0 31W 4,6 *", /day of month "31W"/],
    ["0 0 L-29 2 *", /day of month "L-29"/],
    [`${"1,".repeat(100)}1 * * * *`, /at most 200 characters, not 209/],
  ])("%s", (text, message) => {
    expect(() => parseCron(text)).toThrow(CronError);
    expect(() => parseCron(text)).toThrow(message);
  });
});
