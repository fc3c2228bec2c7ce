// Drives a real headless Chromium: one JSON command a line in, one JSON answer a line out.
import { createInterface } from "node:readline";
import puppeteer from "puppeteer-core";

let { executable, args = [] } = JSON.parse(process.argv[2]);
const isOwn = !executable;
if (isOwn) {
  const { default: own } = await import("./chromium/node_modules/@sparticuz/chromium/build/esm/index.js");
  executable = await own.executablePath();
  // Windows with cookies of their own need processes of their own.
  args = own.args.filter((one) => !["--single-process", "--no-zygote"].includes(one));
}
const browser = await puppeteer.launch({
  executablePath: executable,
  headless: isOwn ? "shell" : true,
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb", ...args],
});
const pages = new Map();
const faults = new Map();

async function open({ page: name, url, width, height, language }) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  await page.setViewport({ width, height, hasTouch: width < 600, isMobile: width < 600 });
  await page.setExtraHTTPHeaders({ "Accept-Language": language });
  await page.evaluateOnNewDocument((tongue) => {
    Object.defineProperty(navigator, "language", { get: () => tongue });
  }, language);
  faults.set(name, []);
  page.on("pageerror", (error) => faults.get(name).push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") faults.get(name).push(`${message.text()} ${message.location().url ?? ""}`);
  });
  pages.set(name, page);
  await page.goto(url, { waitUntil: "load" });
}

// What a page that goes on to another makes of a deed that came too early.
const LEFT = /context|detached|does not belong to the document|same JavaScript world/i;

const find = async (page, selector, seconds) =>
  page.waitForSelector(selector, { visible: true, timeout: seconds * 1000 });

// Finds an element and does something with it; on the next page again, when this one was left.
async function act(page, selector, seconds, deed) {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    try {
      return await deed(await find(page, selector, seconds));
    } catch (error) {
      if (!LEFT.test(error.message) || Date.now() > deadline) throw error;
    }
  }
}

async function read(page, selector) {
  const texts = [];
  try {
    for (const element of await page.$$(selector)) {
      texts.push(await element.evaluate((one) => one.innerText));
    }
  } catch (error) {
    if (!LEFT.test(error.message)) throw error; // it went on to another page
  }
  return texts;
}

const deeds = {
  open,
  click: async ({ page, selector, seconds }) =>
    act(page, selector, seconds, (found) => found.evaluate((element) => element.click())),
  type: async ({ page, selector, text, seconds }) => {
    const found = await act(page, selector, seconds, async (element) => { await element.focus(); return element; });
    await found.type(text);
  },
  attach: async ({ page, selector, path, seconds }) => {
    const input = await page.waitForSelector(selector, { timeout: seconds * 1000 });
    await input.uploadFile(path);
  },
  give: async ({ page, variable, value }) => {
    await page.evaluateOnNewDocument((key, held) => { window[key] = held; }, variable, value);
  },
  press: async ({ page, key }) => page.keyboard.press(key),
  choose: async ({ page, selector, value, seconds }) =>
    act(page, selector, seconds, async (found) => { await found.select(value); }),
  // Waits until an element of the selector has the text, and answers the whole of its text.
  see: async ({ page, selector, text, seconds }) => {
    const deadline = Date.now() + seconds * 1000;
    for (;;) {
      const texts = await read(page, selector);
      const wanted = texts.find((one) => one.includes(text));
      if (wanted !== undefined) return wanted;
      if (Date.now() > deadline) throw new Error(`no ${selector} with "${text}" but ${JSON.stringify(texts)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  },
  count: async ({ page, selector }) => (await page.$$(selector)).length,
  look: async ({ page, script }) => page.evaluate(script),
  reload: async ({ page }) => { await page.reload({ waitUntil: "load" }); },
  resize: async ({ page, width, height }) => page.setViewport({ width, height, isMobile: width < 600, hasTouch: width < 600 }),
  shot: async ({ page, path }) => { await page.screenshot({ path }); },
  faults: async ({ name }) => faults.get(name),
  close: async ({ page, name }) => {
    pages.delete(name);
    await page.browserContext().close();
  },
};

process.stdout.write(JSON.stringify({ result: "ready" }) + "\n");
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try {
    const page = command.do === "open" ? command.page : pages.get(command.page);
    answer = { result: (await deeds[command.do]({ ...command, page, name: command.page })) ?? null };
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
await browser.close();
process.exit(0);
