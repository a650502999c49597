// GitHub's own parser, offline: every workflow and action.yml below ROOT.
//   GHA_NODE_MODULES=<folder with node_modules> node gha_check.mjs ROOT owner/repo
// Exits with 1 on any error or warning.
import fs from "node:fs";
import path from "node:path";
import { createRequire, register } from "node:module";
import { pathToFileURL } from "node:url";

// The packages import JSON without an import attribute (they are made for bundlers): supply it.
const loader = `export const load = (url, context, next) => next(url, url.endsWith(".json")
  ? { ...context, importAttributes: { type: "json" } } : context);`;
register("data:text/javascript," + encodeURIComponent(loader));

const require = createRequire(path.join(process.env.GHA_NODE_MODULES, "x.js"));
const load = async (file) => import(pathToFileURL(file).href);
const packages = path.dirname(path.dirname(require.resolve("yaml/package.json")));
const { validate } = await load(path.join(packages, "@actions/languageservice/dist/index.js"));
const { TextDocument } = await load(require.resolve("vscode-languageserver-textdocument"));
const YAML = await load(require.resolve("yaml"));

const root = path.resolve(process.argv[2]);
const self = process.argv[3];

function* walk(folder) {
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const found = path.join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(found);
    else if (/(^|\/)action\.ya?ml$|\.github\/workflows\/[^/]+\.ya?ml$/.test(found)) yield found;
  }
}

const action = YAML.parse(fs.readFileSync(path.join(root, "action.yml"), "utf8"));
const config = {
  actionsMetadataProvider: {
    async fetchActionMetadata(ref) {
      // Other people's actions can't be asked offline: what they take is accepted.
      return `${ref.owner}/${ref.name}` === self ? action : { name: "unknown", description: "" };
    },
  },
};

let files = 0;
let bad = 0;
for (const file of walk(root)) {
  files++;
  const text = fs.readFileSync(file, "utf8");
  const document = TextDocument.create(pathToFileURL(file).href, "yaml", 1, text);
  for (const found of await validate(document, config)) {
    if ((found.severity ?? 1) > 2) continue;
    bad++;
    const { line, character } = found.range.start;
    console.log(`${path.relative(root, file)}:${line + 1}:${character + 1}: ${found.message}`);
  }
}
console.log(`${files} files, ${bad} problems`);
process.exit(bad || !files ? 1 : 0);
