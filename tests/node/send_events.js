// The events of tests/test_sdk.py, sent by Meta's SDK for Node, unchanged but for its host.
// Arguments: address of the server, pixel id, access token. Prints how many were received.
"use strict";

const sdk = require("facebook-nodejs-business-sdk");

const [address, pixelId, accessToken] = process.argv.slice(2);
Object.defineProperty(sdk.FacebookAdsApi, "GRAPH", {get: () => address});

const now = Math.floor(Date.now() / 1000);
const make = (id, name, source, userData) =>
  new sdk.ServerEvent()
    .setEventName(name).setEventTime(now).setEventId(`x.${id}`)
    .setActionSource(source).setUserData(userData);
const ada = () => new sdk.UserData().setEmail("Ada@Example.com");

const website = make("website", "Purchase", "website", ada()
  .setPhone("+44 20 7946 0000").setFirstName("Ada").setClientIpAddress("203.0.113.7")
  .setClientUserAgent("Test/1.0").setFbp("fb.1.1596403881668.1116446470"))
  .setEventSourceUrl("https://shop.example/thanks?a=1")
  .setCustomData(new sdk.CustomData().setValue(61.5).setCurrency("USD").setOrderId("x.order")
    .setContents([new sdk.Content().setId("teacup").setQuantity(2).setItemPrice(30.75)])
    .setCustomProperties({shelf: "b"}));
const app = make("app", "ViewContent", "app", ada()
  .setMadid("38400000-8cf0-11bd-b23e-10b96e40000d"))
  .setAppData(new sdk.AppData().setApplicationTrackingEnabled(true).setAdvertiserTrackingEnabled(true)
    .setExtinfo(new sdk.ExtendedDeviceInfo().setExtInfoVersion("a2").setOsVersion("13.4.1")));
const store = make("store", "Purchase", "physical_store", ada())
  .setEventTime(now - 30 * 86400)
  .setCustomData(new sdk.CustomData().setValue(5).setCurrency("EUR"));
const chat = make("chat", "Purchase", "business_messaging", new sdk.UserData()
  .setPageId("1234567").setCtwaClid("ARAkLkA8rmlFeiCktEJQ"))
  .setMessagingChannel("whatsapp")
  .setCustomData(new sdk.CustomData().setValue(7).setCurrency("EUR"));

new sdk.EventRequest(accessToken, pixelId, [website, app, store, chat]).execute().then(
  (answer) => console.log(answer.events_received),
  (error) => {
    console.error(error);
    process.exitCode = 1;
  });
