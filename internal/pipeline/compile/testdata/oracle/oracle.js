// Asks the official validator. Arguments: the folder with node_modules, the schema.
// Input and output are lines of JSON: {name, text} and {name, problems: ["line:col message"]}.
// Hints, which only mark what is deprecated, are left out.
'use strict';
console.log = () => {};
const fs = require('fs'), path = require('path'), readline = require('readline');
const from = (name) => require(path.join(process.argv[2], 'node_modules', 'azure-pipelines-language-service', name));
const { getLanguageService, TextDocument } = from('');
const parser = from('lib/parser/yamlParser');
const schema = JSON.parse(fs.readFileSync(process.argv[3], 'utf8'));
const service = getLanguageService(() => Promise.resolve(schema), [], () => Promise.resolve('file:///schema.json'),
  { resolveRelativePath: (relative) => relative }, Promise);
service.configure({ validate: true });
const hint = 4;
(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { name, text } = JSON.parse(line);
    const document = TextDocument.create('file:///azure-pipelines.yml', 'azure-pipelines', 1, text);
    const found = await service.doValidation(document, parser.parse(text));
    const problems = found.filter((f) => f.severity !== hint).map((f) => `${f.range.start.line + 1}:${f.range.start.character + 1} ${f.message}`);
    process.stdout.write(JSON.stringify({ name, problems }) + '\n');
  }
})();
