"""The set-up guide: what to do for a platform and a goal, and what was found on the live site.

`answers` are what a person says, `steps` what to do then, `sight` what a probe saw of the site,
`checks` what that means, `orders` whether a test order came from both sides and became one event,
`guide` puts them together for a setup of the catalog. It opens no address itself: a probe does.
"""
