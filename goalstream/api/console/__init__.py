"""The console: a page of plain files without a build step, which reads and changes through the API what its token may.

index.html  the page           main.js      routes, header, keys     console.css  looks, light and dark
theme.js    before it is drawn dom.js       elements by calls        api.js       requests, the feed, curl
format.js   words and numbers  names.js     what ids stand for       panel.js     dialogs
overview.js all workflows      workflow.js  one: funnel, over time   chart.js     the picture of it
goals.js    a workflow's goals goal_form.js editing one, conflicts   live.js      the feed
contact.js  timeline, and why  send.js      events of one's own      letters.js   dead letters
"""
