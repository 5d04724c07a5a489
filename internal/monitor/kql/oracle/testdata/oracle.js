// Reads lines of JSON {name, query, tables: [{name, columns: [[name, type]]}]} and writes for
// each what the service's parser and binder make of it: {name, syntax: [message…],
// errors: [message…], schema: [[name, type]] or null}.
const dir = process.argv[2];
require(dir + '/node_modules/@kusto/language-service-next/bridge.min.js');
require(dir + '/node_modules/@kusto/language-service-next/Kusto.Language.Bridge.min.js');
const K = Kusto.Language, S = Kusto.Language.Symbols;
const items = (x) => { const r = [], e = Bridge.getEnumerator(x); while (e.moveNext()) r.push(e.Current); return r; };
const globals = new Map();
function globalsFor(tables) {
  const key = JSON.stringify(tables);
  if (!globals.has(key)) {
    if (globals.size > 20) globals.clear();
    const symbols = tables.map(t => S.TableSymbol.From('(' + t.columns.map(c => "['" + c[0] + "']:" + c[1]).join(', ') + ')').WithName(t.name));
    const db = new S.DatabaseSymbol.$ctor1('db', symbols, false);
    globals.set(key, K.GlobalState.Default.WithDatabase(db));
  }
  return globals.get(key);
}
const lines = require('fs').readFileSync(0, 'utf8').split('\n').filter(Boolean);
let tables = [];
for (const line of lines) {
  const t = JSON.parse(line);
  if (t.tables !== null && t.tables !== undefined) tables = t.tables;
  if (t.query === undefined) continue;
  let out;
  try {
    const errors = (code) => items(code.GetDiagnostics()).filter(d => d.Severity === 'Error').map(d => d.Start + ': ' + d.Message);
    const syntax = errors(K.KustoCode.Parse(t.query));
    const code = K.KustoCode.ParseAndAnalyze(t.query, globalsFor(tables));
    const all = [...items(code.GetSyntaxDiagnostics ? code.GetSyntaxDiagnostics() : []), ...items(code.GetDiagnostics())]
      .filter(d => d.Severity === 'Error').map(d => d.Start + ': ' + d.Message);
    const r = code.ResultType;
    let schema = null;
    if (r && r.Columns !== undefined && r.Columns !== null) schema = items(r.Columns).map(c => [c.Name, c.Type ? c.Type.Name : 'unknown']);
    else if (r) schema = [['', r.Name]];
    const open = !!(r && r.IsOpen);
    out = { name: t.name, syntax, errors: all, schema, open };
  } catch (e) { out = { name: t.name, crash: String(e && e.message || e).slice(0, 200) }; }
  console.log(JSON.stringify(out));
}
