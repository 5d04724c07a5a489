package route

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/config"
	amcommon "github.com/prometheus/alertmanager/config/common"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/notify/email"
	"github.com/prometheus/alertmanager/notify/slack"
	"github.com/prometheus/alertmanager/notify/webhook"
	"github.com/prometheus/alertmanager/template"
	"github.com/prometheus/alertmanager/types"
	commoncfg "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/table"
)

// timeout bounds one attempt.
const timeout = 15 * time.Second

// maxError is how much of an error is kept: what a server answers may be long.
const maxError = 500

// maxChannel is the longest name of a channel in bytes.
const maxChannel = 100

// AnnotationID is the annotation that carries the id of an alert.
const AnnotationID = "alert_id"

// Attempt is one time that a notification was sent or could not be.
type Attempt struct {
	Key      string // the same for all attempts of one notification
	Project  string
	Receiver string
	Kind     string
	Reason   string
	At       time.Time
	Firing   int
	Resolved int
	Alerts   []string // ids
	Error    string   // "" when it was sent; holds no secret
	Retry    bool     // it will be tried again
	Item     string   // what was opened
}

// Request is what a work item is to be about.
type Request struct {
	Project  string
	Group    string
	Title    string
	Text     string
	Alerts   []string // ids
	Resolved bool     // all of them
}

// Opener opens work items. It returns "" when there is nobody to open one.
type Opener func(ctx context.Context, r Request) (id string, err error)

// resolved says whether a receiver hears of resolutions.
type resolved bool

// SendResolved implements notify.ResolvedSender.
func (r resolved) SendResolved() bool { return bool(r) }

// recorded speaks to a receiver and tells what became of it.
type recorded struct {
	to     Receiver
	inner  notify.Notifier
	record func(Attempt)
}

// Notify implements notify.Notifier.
func (n recorded) Notify(ctx context.Context, alerts ...*types.Alert) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var item string
	var retry bool
	var err error
	if o, ok := n.inner.(opener); ok {
		item, retry, err = o.do(ctx, alerts)
	} else {
		retry, err = n.inner.Notify(ctx, alerts...)
	}
	a := Attempt{Item: item, Key: flushKey(ctx, n.to), Project: n.to.Project, Receiver: n.to.Name, Kind: n.to.Kind, At: time.Now().UTC()}
	if r, ok := notify.NotificationReason(ctx); ok {
		a.Reason = r.String()
	}
	for _, x := range alerts {
		if x.Resolved() {
			a.Resolved++
		} else {
			a.Firing++
		}
		if id := string(x.Annotations[AnnotationID]); id != "" {
			a.Alerts = append(a.Alerts, id)
		}
	}
	if err != nil {
		err = n.to.scrub(err)
		a.Error, a.Retry = err.Error(), retry
	}
	n.record(a)
	return retry, err
}

// flushKey names a notification: a group of alerts, a receiver, and the moment at which the
// dispatcher flushed the group.
func flushKey(ctx context.Context, r Receiver) string {
	group, _ := notify.GroupKey(ctx)
	now, _ := notify.Now(ctx)
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", key(r.Project, r.Name), group, now.UnixNano()))
	return hex.EncodeToString(sum[:16])
}

// scrub takes the secrets of a receiver out of an error, which becomes a text.
func (r Receiver) scrub(err error) error {
	text := err.Error()
	secrets := []string{r.URL, r.Token, r.Password}
	if u, err := url.Parse(r.URL); err == nil && len(u.Path) > 1 {
		secrets = append(secrets, u.RequestURI(), u.Path)
	}
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "…")
		}
	}
	return errors.New(table.Shorten(strings.ToValidUTF8(text, "\uFFFD"), maxError))
}

// Check says what is wrong with a receiver; nil when nothing is.
func (r Receiver) Check() error {
	switch r.Kind {
	case Webhook, Slack:
		u, err := url.Parse(r.URL)
		if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil {
			return fault.New(fault.Invalid, "The address of the receiver is not a URL that can be posted to.").WithNext("write it as https://host/path")
		}
		// Alertmanager expands templates in the address; answers shorten it to "…".
		if strings.Contains(r.URL, "{{") || strings.Contains(r.URL, "…") {
			return fault.New(fault.Invalid, "The address of the receiver is not complete, or is a template.").WithNext("write it in full")
		}
		// It expands them in the channel as well.
		if len(r.Channel) > maxChannel || strings.ContainsAny(r.Channel, "{\r\n") {
			return fault.New(fault.Invalid, "%q is not the name of a channel.", table.Clip(r.Channel, maxChannel)).WithNext("write it as #name")
		}
	case Mail:
		if _, _, err := net.SplitHostPort(r.Server); err != nil {
			return fault.New(fault.Invalid, "%q is not a mail server.", r.Server).WithNext("write it as host:port")
		}
		if len(r.To) == 0 || len(r.To) > 50 {
			return fault.New(fault.Invalid, "A mail receiver has from 1 to 50 addresses.")
		}
		for _, a := range append([]string{r.From}, r.To...) {
			if _, err := mail.ParseAddress(a); err != nil || strings.ContainsAny(a, "\r\n{") {
				return fault.New(fault.Invalid, "%q is not a mail address.", a)
			}
		}
	case Item:
	default:
		return fault.New(fault.Invalid, "%q is not a kind of receiver.", r.Kind).WithNext("use webhook, mail, slack or item")
	}
	return nil
}

// Address returns host:port of what a receiver speaks to, "" for none.
func (r Receiver) Address() string {
	if r.Kind == Mail {
		return r.Server
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// notifier makes what speaks to a receiver.
func (o Options) notifier(r Receiver, t *template.Template, l *slog.Logger) (notify.Notifier, error) {
	client := &commoncfg.HTTPClientConfig{FollowRedirects: false}
	dial := commoncfg.WithDialContextFunc(o.Guard.Dial)
	out := recorded{to: r, record: o.Record}
	var err error
	switch r.Kind {
	case Webhook:
		if r.Token != "" {
			client.Authorization = &commoncfg.Authorization{Type: "Bearer", Credentials: commoncfg.Secret(r.Token)}
		}
		out.inner, err = webhook.New(&webhook.WebhookConfig{
			NotifierConfig: amcommon.NotifierConfig{VSendResolved: r.SendResolved}, HTTPConfig: client,
			URL: amcommon.SecretTemplateURL(r.URL), MaxAlerts: 200, Timeout: timeout,
		}, t, l, dial)
	case Slack:
		u, perr := url.Parse(r.URL)
		if perr != nil {
			return nil, fault.New(fault.Invalid, "The address of receiver %s is not a URL.", r.Name)
		}
		c := config.DefaultSlackConfig
		c.HTTPConfig, c.APIURL, c.Channel, c.Timeout = client, &amcommon.SecretURL{URL: u}, r.Channel, timeout
		c.Username, c.Title, c.Text, c.Fallback = "Towpath", `{{ template "towpath.title" . }}`, `{{ template "towpath.text" . }}`, `{{ template "towpath.title" . }}`
		out.inner, err = slack.New(&c, t, l, dial)
	case Mail:
		out.inner = mailer{to: r, guard: o.Guard, template: t, logger: l}
	case Item:
		out.inner = opener{open: o.Open, project: r.Project, template: t, logger: l}
	default:
		err = fault.New(fault.Invalid, "%q is not a kind of receiver.", r.Kind)
	}
	return out, err
}

// mailer speaks SMTP. Alertmanager's notifier connects by itself, so it is given an address
// that the guard has let through, and the name to check the certificate by.
type mailer struct {
	to       Receiver
	guard    *Guard
	template *template.Template
	logger   *slog.Logger
}

// Notify implements notify.Notifier.
func (m mailer) Notify(ctx context.Context, alerts ...*types.Alert) (bool, error) {
	at, err := m.guard.Resolved(ctx, m.to.Server)
	if err != nil {
		return !fault.Is(err, fault.Denied), err
	}
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return false, err
	}
	name, _, err := net.SplitHostPort(m.to.Server)
	if err != nil {
		return false, err
	}
	return email.New(&config.EmailConfig{
		To: strings.Join(m.to.To, ", "), From: m.to.From, Smarthost: config.HostPort{Host: host, Port: port}, Hello: "localhost",
		AuthUsername: m.to.User, AuthPassword: commoncfg.Secret(m.to.Password), RequireTLS: &m.to.RequireTLS, TLSConfig: &commoncfg.TLSConfig{ServerName: name},
		Headers: map[string]string{"Subject": `{{ template "towpath.title" . }}`},
		Text:    `{{ template "towpath.text" . }}`,
	}, m.template, m.logger).Notify(ctx, alerts...)
}

// texts are our own words for a group of alerts.
const texts = `
{{ define "towpath.title" }}[{{ if eq .Status "firing" }}FIRING:{{ .Alerts.Firing | len }}{{ else }}RESOLVED{{ end }}] {{ with index .Alerts 0 }}{{ .Labels.alertname }}{{ end }}{{ with .CommonLabels.project }} in {{ . }}{{ end }}{{ with .CommonLabels.environment }}/{{ . }}{{ end }}{{ end }}
{{ define "towpath.text" }}{{ range .Alerts }}{{ if eq .Status "firing" }}FIRING{{ else }}RESOLVED{{ end }} {{ .Annotations.summary }}
{{ with .Annotations.description }}{{ . }}
{{ end }}{{ with .Annotations.next_step }}Next: {{ . }}
{{ end }}{{ with .Annotations.release }}Release: {{ . }}
{{ end }}{{ with .GeneratorURL }}{{ . }}
{{ end }}
{{ end }}{{ end }}`

// opener asks for a work item.
type opener struct {
	open     Opener
	project  string
	template *template.Template
	logger   *slog.Logger
}

// Notify implements notify.Notifier.
func (o opener) Notify(ctx context.Context, alerts ...*types.Alert) (bool, error) {
	_, retry, err := o.do(ctx, alerts)
	return retry, err
}

// do asks for the item and returns its id.
func (o opener) do(ctx context.Context, alerts []*types.Alert) (id string, retry bool, err error) {
	group, err := notify.ExtractGroupKey(ctx)
	if err != nil {
		return "", false, err
	}
	data := notify.GetTemplateData(ctx, o.template, alerts, o.logger)
	title := notify.TmplText(o.template, data, &err)(`{{ template "towpath.title" . }}`)
	text := notify.TmplText(o.template, data, &err)(`{{ template "towpath.text" . }}`)
	if err != nil {
		return "", false, err
	}
	r := Request{Project: o.project, Group: group.Hash(), Title: title, Text: text, Resolved: model.AlertStatus(data.Status) == model.AlertResolved}
	for _, a := range alerts {
		if r.Project == "" {
			r.Project = string(a.Labels["project"])
		}
		if id := string(a.Annotations[AnnotationID]); id != "" {
			r.Alerts = append(r.Alerts, id)
		}
	}
	id, err = o.open(ctx, r)
	return id, !fault.Is(err, fault.Invalid), err
}
