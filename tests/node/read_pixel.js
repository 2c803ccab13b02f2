// What Meta's SDK for Node, unchanged but for its host, reads of a pixel.
// Arguments: address of the server, pixel id, access token. Prints JSON.
"use strict";

const sdk = require("facebook-nodejs-business-sdk");

const [address, pixelId, accessToken] = process.argv.slice(2);
Object.defineProperty(sdk.FacebookAdsApi, "GRAPH", {get: () => address});
sdk.FacebookAdsApi.init(accessToken);

async function read() {
  const pixel = await new sdk.AdsPixel(pixelId).get(["name", "is_unavailable"]);
  const stats = await new sdk.AdsPixel(pixelId).getStats(["data"], {aggregation: "event"});
  let checks = await new sdk.AdsPixel(pixelId).getDaChecks(["key", "result"], {limit: 20});
  const keys = checks.map((check) => check.key);
  while (checks.hasNext()) {
    checks = await checks.next();
    keys.push(...checks.map((check) => check.key));
  }
  return {
    name: pixel.name,
    is_unavailable: pixel.is_unavailable,
    stats: stats.flatMap((row) => row.data),
    checks: keys,
  };
}

read().then(
  (found) => console.log(JSON.stringify(found)),
  (error) => {
    console.error(error);
    process.exitCode = 1;
  });
