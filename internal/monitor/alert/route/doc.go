// Package route takes alerts to receivers. It is Alertmanager's own machinery: its
// dispatcher groups, its inhibitor and silences keep back, its notification log sees to it
// that nothing is said twice, its notifiers speak to webhooks, mail servers and Slack.
//
// Nouns. A Tree is the routes of a project, or of the installation (project ""). A Receiver
// is where notifications go, with its secrets. A Guard decides which addresses may be
// spoken to. An Attempt is one time that a notification was sent or could not be.
//
// Invariants. The tree, the silences and the inhibitions of a project concern alerts with
// its label project only. What a Guard does not allow is not connected to, whatever a name
// resolves to; redirects are not followed. No secret of a receiver is in an error or a log.
//
// It imports the kernel and the libraries of Alertmanager and Prometheus. Alertmanager's
// dispatcher cannot be had without its cluster and event recorder packages; they are linked
// and not started.
package route
