package enforce

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/policy/vap"
)

// maxRefs bounds how many rules of one refusal are recorded.
const maxRefs = 50

// Refusal is a request that the API server refused because of our policies.
type Refusal struct {
	ID        string // of the audit event
	Time      time.Time
	Verb      string // create, update, patch
	User      string // "towpath:run:12"
	Groups    []string
	By        Applied // who asked
	Group     string
	Version   string
	Resource  string // "pods"
	Sub       string
	Namespace string
	Name      string
	UID       string
	Refs      []vap.Ref
}

// auditEvent is the part of an event (audit.k8s.io/v1) that is read.
type auditEvent struct {
	Kind    string `json:"kind"`
	AuditID string `json:"auditID"`
	Stage   string `json:"stage"`
	Verb    string `json:"verb"`
	URI     string `json:"requestURI"`
	User    person `json:"user"`
	// Impersonated is who was acted as: that is who asked.
	Impersonated *person `json:"impersonatedUser"`
	Object       struct {
		Resource    string `json:"resource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
		UID         string `json:"uid"`
		APIGroup    string `json:"apiGroup"`
		APIVersion  string `json:"apiVersion"`
		Subresource string `json:"subresource"`
	} `json:"objectRef"`
	Response struct {
		Code    int32  `json:"code"`
		Message string `json:"message"`
	} `json:"responseStatus"`
	Received time.Time `json:"requestReceivedTimestamp"`
}

type person struct {
	Username string              `json:"username"`
	Groups   []string            `json:"groups"`
	Extra    map[string][]string `json:"extra"`
}

// mark is in every refusal by a ValidatingAdmissionPolicy.
const mark = "ValidatingAdmissionPolicy"

// ParseAuditLine reads one line of an audit log; false when it is no refusal by one of our
// policies, or no event at all.
func ParseAuditLine(line []byte) (Refusal, bool) {
	if len(line) > maxLine || !bytes.Contains(line, []byte(mark)) {
		return Refusal{}, false
	}
	var e auditEvent
	if err := json.Unmarshal(line, &e); err != nil {
		return Refusal{}, false
	}
	if e.Kind != "Event" || e.AuditID == "" || e.Stage != "ResponseComplete" || e.Response.Code < 400 || e.Response.Code > 499 {
		return Refusal{}, false
	}
	refs := refsIn(e.Response.Message)
	if len(refs) == 0 || strings.Contains(e.URI, "dryRun=") { // Somebody only tried.
		return Refusal{}, false
	}
	who := e.User
	if e.Impersonated != nil {
		who = *e.Impersonated
	}
	r := Refusal{
		ID: e.AuditID, Time: e.Received.UTC(), Verb: e.Verb, User: who.Username, Groups: who.Groups, By: applied(who.Username, who.Extra, e.Received.UTC()),
		Group: e.Object.APIGroup, Version: e.Object.APIVersion, Resource: e.Object.Resource, Sub: e.Object.Subresource,
		Namespace: e.Object.Namespace, Name: e.Object.Name, UID: e.Object.UID, Refs: refs,
	}
	if r.Name == "" {
		r.Name = refused(e.Response.Message)
	}
	return r, true
}

// refsIn returns what a refusal says about the rules behind it. A policy of ours that could
// not judge says only which one it is.
func refsIn(message string) []vap.Ref {
	if !strings.Contains(message, mark) {
		return nil
	}
	refs := vap.ParseMessages(message)
	if len(refs) == 0 {
		if ref, ok := vap.ParseMessage(message); ok {
			refs = []vap.Ref{ref}
		}
	}
	return refs[:min(len(refs), maxRefs)]
}

// refused finds the name in `pods "cart-7d" is forbidden: …`: the log names no object that
// was to be created.
func refused(message string) string {
	head, _, ok := strings.Cut(message, `" is forbidden: `)
	if !ok {
		return ""
	}
	i := strings.LastIndexByte(head, '"')
	if i < 0 || len(head)-i > 254 {
		return ""
	}
	return head[i+1:]
}

// Keys of userInfo.extra that a job's identity carries.
const (
	extraRun     = "towpath.dev/run"
	extraJob     = "towpath.dev/job"
	extraProject = "towpath.dev/project"
	extraCommit  = "towpath.dev/commit"
)

// applied says who a user of the API server is in the platform's words.
func applied(user string, extra map[string][]string, at time.Time) Applied {
	one := func(key string) string {
		if v := extra[key]; len(v) == 1 && len(v[0]) <= 256 {
			return v[0]
		}
		return ""
	}
	a := Applied{Actor: actorOf(user), Time: at}
	run, err := strconv.ParseInt(one(extraRun), 10, 64)
	if err != nil || run <= 0 {
		return a
	}
	a.Run, a.Job, a.Project, a.Commit = run, one(extraJob), one(extraProject), one(extraCommit)
	return a
}

// actorOf turns a user name of the API server to an actor: jobs are "run:12", service
// accounts "serviceaccount:namespace/name", everybody else is known to the cluster only.
func actorOf(user string) string {
	if run, ok := strings.CutPrefix(user, "towpath:"); ok {
		return run
	}
	if account, ok := strings.CutPrefix(user, "system:serviceaccount:"); ok {
		return "serviceaccount:" + strings.Replace(account, ":", "/", 1)
	}
	return "kube:" + user
}
