// Packages of Debian's as npm would have them, each with nothing to depend on.
const fs = require('fs'), { execFileSync } = require('child_process');
const from = '/usr/share/nodejs', to = '/node/packages', dependencies = {};
fs.mkdirSync(to, { recursive: true });
const pack = name => {
  let text;
  try { text = JSON.parse(fs.readFileSync(`${from}/${name}/package.json`)); } catch { return; }
  if (!text.version || text.name !== name) return;
  const made = `/tmp/${name.replace('/', '-')}`, file = `${to}/${name.replace('/', '-')}.tgz`;
  execFileSync('sh', ['-c', `mkdir -p ${made} && cp -rL ${from}/${name} ${made}/package`]);
  for (const key of Object.keys(text)) if (/dependencies|scripts|workspaces|^bin$|engines|^os$|^cpu$/i.test(key)) delete text[key];
  fs.writeFileSync(`${made}/package/package.json`, JSON.stringify(text));
  execFileSync('tar', ['-czf', file, '-C', made, 'package']);
  execFileSync('rm', ['-r', made]);
  dependencies[name] = `file:packages/${name.replace('/', '-')}.tgz`;
};
for (const name of fs.readdirSync(from))
  if (name[0] !== '@') pack(name);
  else for (const below of fs.readdirSync(`${from}/${name}`)) pack(`${name}/${below}`);
fs.writeFileSync('/node/package.json', JSON.stringify({ name: 'bench', version: '1.0.0', dependencies }));
