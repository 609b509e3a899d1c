"""The console: a page of plain files without a build step, which reads and changes through the API what its token may.

index.html  the page                main.js       who is signed in, routes, health, keys   console.css  looks, light and dark
kit.js      elements, words         api.js        requests, the feed, curl                 theme.js     before it is drawn
live.js     the feed                workflows.js  all of them, and one                     goals.js     edited in place, history
contact.js  its timeline, and why   send.js       events of one's own                      letters.js   dead letters
webhooks.js and hooks.js, messages out and calls in, are loaded when they are opened, with endpoints.js, what both have in common.
page.py     the routes
"""
