// Imports a Postman collection with Postman's own library, and prints what each request would send.
import { readFileSync } from "node:fs";
import postman from "postman-collection";

const collection = new postman.Collection(JSON.parse(readFileSync(process.argv[2], "utf8")));
collection.forEachItem((item) => {
  const auth = item.getAuth();
  const variables = auth.parameters();
  console.log(JSON.stringify({
    name: item.name,
    method: item.request.method,
    path: item.request.url.getPath(),
    auth: [auth.type, variables.get("username"), variables.get("password")],
    body: JSON.parse(item.request.body.toString()),
    responses: item.responses.map((each) => each.code),
  }));
});
