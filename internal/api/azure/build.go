package azure

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// ref is something that the service names by number, name and address.
type ref struct {
	ID   any    `json:"id"`
	Name string `json:"name,omitempty"`
	URL  string `json:"url,omitempty"`
	Type string `json:"type,omitempty"`
}

// person is who asked for a build.
type person struct {
	ID          string `json:"id"`
	DisplayName string `json:"displayName"`
	UniqueName  string `json:"uniqueName"`
}

// link is an address with the name that the service gives it.
type link struct {
	Href string `json:"href"`
}

// build is a run as build/builds shows it.
type build struct {
	ID            int64             `json:"id"`
	BuildNumber   string            `json:"buildNumber"`
	Status        string            `json:"status"`
	Result        string            `json:"result,omitempty"`
	QueueTime     *time.Time        `json:"queueTime,omitempty"`
	StartTime     *time.Time        `json:"startTime,omitempty"`
	FinishTime    *time.Time        `json:"finishTime,omitempty"`
	URL           string            `json:"url"`
	URI           string            `json:"uri"`
	Definition    ref               `json:"definition"`
	Project       ref               `json:"project"`
	Repository    ref               `json:"repository"`
	SourceBranch  string            `json:"sourceBranch"`
	SourceVersion string            `json:"sourceVersion"`
	Priority      string            `json:"priority"`
	Reason        string            `json:"reason"`
	RequestedFor  person            `json:"requestedFor"`
	RequestedBy   person            `json:"requestedBy"`
	KeepForever   bool              `json:"keepForever"`
	Tags          []string          `json:"tags"`
	TriggerInfo   map[string]string `json:"triggerInfo"`
	Links         map[string]link   `json:"_links"`
}

// toBuild shows a run.
func (s *server) toBuild(r pipeline.Run, d pipeline.Definition) build {
	who := person{r.Requester, r.Requester, r.Requester}
	at := s.path(r.Project, fmt.Sprintf("build/builds/%d", r.Number))
	b := build{
		ID: r.Number, BuildNumber: r.Name, Status: status(r.Status), Result: result(r.Result), QueueTime: moment(r.Queued), StartTime: moment(r.Started),
		FinishTime: moment(r.Finished), URL: at, URI: fmt.Sprintf("vstfs:///Build/Build/%d", r.Number),
		Definition: ref{ID: d.ID, Name: d.Name, URL: s.path(r.Project, fmt.Sprintf("build/definitions/%d", d.ID)), Type: "build"},
		Project:    ref{ID: r.Project, Name: r.Project}, Repository: ref{ID: r.Repo, Name: r.Repo, Type: "TfsGit", URL: s.url + "/" + r.Repo + ".git"},
		SourceBranch: r.Ref, SourceVersion: r.Commit, Priority: "normal", Reason: lower(r.Reason), RequestedFor: who, RequestedBy: who, Tags: []string{},
		TriggerInfo: map[string]string{"ci.message": r.Title, "ci.sourceSha": r.Commit, "ci.sourceBranch": r.Ref},
		Links:       map[string]link{"self": {at}, "timeline": {at + "/timeline"}, "web": {fmt.Sprintf("%s/projects/%s/runs/%d", s.url, r.Project, r.Number)}},
	}
	if r.Pull > 0 {
		b.TriggerInfo["pr.number"] = strconv.FormatInt(r.Pull, 10)
	}
	return b
}

func status(p plan.Status) string {
	switch p {
	case plan.Completed:
		return "completed"
	case plan.Running:
		return "inProgress"
	}
	return "notStarted"
}

func result(r plan.Result) string {
	if r == plan.SucceededWithIssues {
		return "partiallySucceeded"
	}
	return lower(string(r))
}

// builds lists runs by the filters that scripts use; one that is not known is refused.
func (s *server) builds(c *call) (any, error) {
	q := c.r.URL.Query()
	f := pipeline.Filter{Project: c.project, Limit: 50}
	for name := range q {
		v := q.Get(name)
		var err error
		switch strings.ToLower(name) {
		case "api-version", "queryorder", "repositorytype":
		case "$top", "maxbuildsperdefinition":
			f.Limit, err = strconv.Atoi(v)
		case "continuationtoken":
			f.Before, err = strconv.ParseInt(v, 10, 64)
		case "definitions":
			var d pipeline.Definition
			d, err = s.pipeline.Definition(c.ctx, c.actor, c.project, v)
			f.Repo, f.File = d.Repo, d.File
		case "repositoryid":
			f.Repo = v
			if !strings.Contains(v, "/") {
				f.Repo = c.project + "/" + v
			}
		case "branchname":
			f.Ref = v
		case "buildnumber":
			f.Name = v
		case "tagfilters":
			f.Tags = strings.Split(v, ",")
		case "reasonfilter":
			if v != "" && !strings.EqualFold(v, "all") {
				f.Reason = strings.ToUpper(v[:1]) + v[1:]
			}
		case "statusfilter":
			f.Status, err = statusOf(v)
		case "resultfilter":
			f.Result, err = resultOf(v)
		default:
			err = fault.New(fault.Invalid, "The filter %s of builds is not known here.", clip(name))
		}
		if err != nil {
			return nil, asInvalid(err, name)
		}
	}
	runs, err := s.pipeline.Runs(c.ctx, c.actor, f)
	if err != nil {
		return nil, err
	}
	out := make([]build, len(runs))
	for i, r := range runs {
		d, err := s.pipeline.DefinitionOf(c.ctx, c.actor, r)
		if err != nil {
			return nil, err
		}
		out[i] = s.toBuild(r, d)
	}
	if len(runs) > 0 && len(runs) == min(max(f.Limit, 1), 200) {
		c.w.Header().Set("X-MS-ContinuationToken", strconv.FormatInt(runs[len(runs)-1].Number, 10))
	}
	return list(out), nil
}

// asInvalid makes an error of a number one of the request.
func asInvalid(err error, name string) error {
	if fault.KindOf(err) != fault.Internal {
		return err
	}
	return fault.Wrap(fault.Invalid, err, "The value of %s is no number.", clip(name))
}

func statusOf(v string) (plan.Status, error) {
	switch strings.ToLower(v) {
	case "all", "":
		return "", nil
	case "completed":
		return plan.Completed, nil
	case "inprogress":
		return plan.Running, nil
	case "notstarted":
		return plan.Pending, nil
	}
	return "", fault.New(fault.Invalid, "The statusFilter is inProgress, completed, notStarted or all.")
}

func resultOf(v string) (plan.Result, error) {
	switch strings.ToLower(v) {
	case "":
		return "", nil
	case "succeeded":
		return plan.Succeeded, nil
	case "partiallysucceeded":
		return plan.SucceededWithIssues, nil
	case "failed":
		return plan.Failed, nil
	case "canceled":
		return plan.Canceled, nil
	}
	return "", fault.New(fault.Invalid, "The resultFilter is succeeded, partiallySucceeded, failed or canceled.")
}

func (s *server) build(c *call) (any, error) {
	d, err := s.detail(c, "id")
	if err != nil {
		return nil, err
	}
	return s.shown(c, d)
}

// shown is a run with its tags.
func (s *server) shown(c *call, d *pipeline.Detail) (any, error) {
	of, err := s.pipeline.DefinitionOf(c.ctx, c.actor, d.Run)
	b := s.toBuild(d.Run, of)
	b.Tags, b.KeepForever = d.Tags, d.Kept != ""
	return b, err
}

func (s *server) tags(c *call) (any, error) {
	d, err := s.detail(c, "id")
	if err != nil {
		return nil, err
	}
	return list(d.Tags), nil
}

// queueBuild starts a run: {"definition": {"id": 3}, "sourceBranch": …, "parameters": "{…}"}.
func (s *server) queueBuild(c *call) (any, error) {
	var in struct {
		Definition struct {
			ID   json.Number `json:"id"`
			Name string      `json:"name"`
		} `json:"definition"`
		SourceBranch       string         `json:"sourceBranch"`
		Parameters         string         `json:"parameters"`
		TemplateParameters map[string]any `json:"templateParameters"`
	}
	if err := c.body(&in); err != nil {
		return nil, err
	}
	variables := map[string]string{}
	if in.Parameters != "" {
		if err := json.Unmarshal([]byte(in.Parameters), &variables); err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "The parameters of a build are variables, as JSON in a text.")
		}
	}
	name := in.Definition.ID.String()
	if name == "" {
		name = in.Definition.Name
	}
	return s.start(c, name, pipeline.Request{Ref: in.SourceBranch, Variables: variables, Parameters: texts(in.TemplateParameters)}, func(r pipeline.Run, d pipeline.Definition) any { return s.toBuild(r, d) })
}

// start starts a run of a pipeline and shows it.
func (s *server) start(c *call, name string, in pipeline.Request, show func(pipeline.Run, pipeline.Definition) any) (any, error) {
	d, err := s.pipeline.Definition(c.ctx, c.actor, c.project, name)
	if err != nil {
		return nil, err
	}
	r, err := s.pipeline.StartWith(c.ctx, c.actor, d.Key(), in)
	if err != nil {
		return nil, err
	}
	return show(r, d), nil
}

// texts are the values of parameters as a request wants them.
func texts(values map[string]any) map[string]string {
	out := map[string]string{}
	for name, v := range values {
		if t, ok := v.(string); ok {
			out[name] = t
			continue
		}
		if b, err := json.Marshal(v); err == nil {
			out[name] = string(b)
		}
	}
	return out
}

// changeBuild cancels a run, or keeps it: {"status": "cancelling"}, {"keepForever": true}.
func (s *server) changeBuild(c *call) (any, error) {
	var in struct {
		Status      string `json:"status"`
		KeepForever *bool  `json:"keepForever"`
	}
	if err := c.body(&in); err != nil {
		return nil, err
	}
	d, err := s.detail(c, "id")
	if err != nil {
		return nil, err
	}
	switch {
	case strings.EqualFold(in.Status, "cancelling"):
		err = s.pipeline.Cancel(c.ctx, c.actor, d.Number)
	case in.KeepForever != nil && *in.KeepForever:
		err = s.pipeline.Keep(c.ctx, c.actor, d.Number, "")
	case in.KeepForever != nil:
		err = s.pipeline.Unkeep(c.ctx, c.actor, d.Number)
	default:
		err = fault.New(fault.Invalid, "Of a build, status can become cancelling, and keepForever true or false; nothing else.")
	}
	if err != nil {
		return nil, err
	}
	return s.build(c)
}
