# Admission refuses a workload by one rule, over and over; another is let in because the
# webhook did not answer; a secret is let in for now.
decision.made decision:D1 {"v":1,"decision":"D1","point":"admission","allowed":false,"environment":"production","object":"Deployment shop/cart","verdicts":[{"assignment":"baseline","rule":"no-privileged","outcome":"denied","object":"Deployment shop/cart","message":"privileged","fix":"drop it"}]}
decision.made decision:D2 {"v":1,"decision":"D2","point":"admission","allowed":false,"environment":"production","object":"Deployment shop/cart","verdicts":[{"assignment":"baseline","rule":"no-privileged","outcome":"denied","object":"Deployment shop/cart","message":"privileged"}]}
decision.made decision:D3 {"v":1,"decision":"D3","point":"pull","allowed":false,"pull":7,"verdicts":[{"assignment":"baseline","rule":"no-privileged","outcome":"denied","object":"Deployment shop/cart","message":"privileged"}]}
decision.made decision:D4 {"v":1,"decision":"D4","point":"audit","allowed":false,"environment":"production","object":"Pod shop/web-7d9f8b6c5d-x2x4z","verdicts":[{"assignment":"baseline","rule":"signed","outcome":"denied","object":"Pod shop/web-7d9f8b6c5d-x2x4z","message":"not signed"}]}
secret.bypassed repo:shop/web {"v":1,"repo":"shop/web","rule":"aws-key","fingerprint":"f1","reason":"fix-later","expires":"2026-03-09T00:00:00Z"}
secret.bypassed repo:shop/web {"v":1,"repo":"shop/web","rule":"aws-key","fingerprint":"f2","reason":"test-value","expires":"2026-03-09T00:00:00Z"}
show
release.finished release:shop/production/5 {"v":1,"release":"shop/production/5","environment":"production","result":"deployed"}
wait 1h
decision.made decision:D5 {"v":1,"decision":"D5","point":"admission","allowed":false,"environment":"production","object":"Deployment shop/cart","verdicts":[{"assignment":"baseline","rule":"no-privileged","outcome":"denied","object":"Deployment shop/cart","message":"privileged"}]}
wait 2h
show
release.finished release:shop/production/6 {"v":1,"release":"shop/production/6","environment":"production","result":"deployed"}
wait 3h
show
