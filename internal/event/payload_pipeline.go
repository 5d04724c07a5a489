package event

// The payloads of events about pipelines and what they use.

// PipelineChanged is the payload of TypePipelineChanged: a pipeline of a project was created,
// renamed, changed, disabled, enabled or deleted.
type PipelineChanged struct {
	V      int    `json:"v"`
	ID     int64  `json:"id"`
	Name   string `json:"name"`
	Repo   string `json:"repo"`
	File   string `json:"file"`
	Branch string `json:"branch,omitempty"`
	Action string `json:"action"`
}

// PipelineVariable is the payload of TypePipelineVariable: a variable of a pipeline was
// changed or removed; the subject is the repository. It never holds a value.
type PipelineVariable struct {
	V      int    `json:"v"`
	Repo   string `json:"repo"`
	File   string `json:"file,omitempty"` // of another pipeline than that of azure-pipelines.yml
	Name   string `json:"name"`
	Action string `json:"action"` // changed, removed
}

// CheckChanged is the payload of TypeCheckChanged: a check on a resource of pipelines was
// added or removed, or a pipeline was permitted to use the resource; the subject is the
// project.
type CheckChanged struct {
	V        int    `json:"v"`
	Resource string `json:"resource"` // "environment/production"
	Check    string `json:"check,omitempty"`
	Type     string `json:"type"` // approval, branchControl, …; permission
	Title    string `json:"title,omitempty"`
	Pipeline string `json:"pipeline,omitempty"` // of a permission: "shop/web", "*" for all
	Action   string `json:"action"`             // added, removed, permitted, forbidden
}

// CheckHeld is the payload of TypeCheckHeld (a check holds a stage of a run),
// TypeCheckAnswered (somebody said something about it, which need not release it) and
// TypeCheckDecided (it holds the stage no more); the subject is the run. Link: built-from
// the commit of the run.
type CheckHeld struct {
	V           int      `json:"v"`
	Run         int64    `json:"run"`
	Stage       string   `json:"stage"`
	Entry       string   `json:"entry"` // what is approved or rejected
	Type        string   `json:"type"`
	Title       string   `json:"title"`
	Resource    string   `json:"resource"`              // "environment/production"
	Environment string   `json:"environment,omitempty"` // to which the stage deploys
	Waits       []string `json:"waits,omitempty"`       // for whom or what: "user:ada", "role:maintain"
	Action      string   `json:"action,omitempty"`      // answered: approved, rejected, deferred, reassigned
	Result      string   `json:"result,omitempty"`      // decided: passed, refused, expired, withdrawn
	Why         string   `json:"why,omitempty"`
	Repo        string   `json:"repo"`
	Ref         string   `json:"ref"`
	Commit      string   `json:"commit"`
}

// TaskChanged is the payload of TypeTaskChanged: a version of a task was added beside those
// that are built in, or removed; the subject is the project, project:"" for a task of the
// whole installation.
type TaskChanged struct {
	V         int    `json:"v"`
	Name      string `json:"name"`
	Version   string `json:"version"`
	ID        string `json:"id"`
	Digest    string `json:"digest"`
	Extension string `json:"extension,omitempty"` // publisher.extension
	Action    string `json:"action"`              // added, removed
}

// LibraryChanged is the payload of TypeLibraryChanged: a variable group, a secure file or a
// service connection was created, changed or removed; the subject is the project. It never
// holds a value.
type LibraryChanged struct {
	V        int      `json:"v"`
	Resource string   `json:"resource"`         // "group/production"
	Action   string   `json:"action"`           // created, changed, removed
	Values   []string `json:"values,omitempty"` // names of the values that were set or removed
}

// LibraryLent is the payload of TypeLibraryLent: a job was given secrets of the library;
// the subject is the job. It never holds a value. Link: part-of the run.
type LibraryLent struct {
	V         int      `json:"v"`
	Run       int64    `json:"run"`
	Stage     string   `json:"stage"`
	Job       string   `json:"job"`
	Resources []string `json:"resources"` // "group/production", "connection/hub"
}

// PoolChanged is the payload of TypePoolChanged: a pool of agents, or an agent of it, was
// created, changed or removed; the subject is the pool.
type PoolChanged struct {
	V     int    `json:"v"`
	Pool  string `json:"pool"`
	Agent string `json:"agent,omitempty"` // when it is about one agent
	Field string `json:"field"`           // created, settings, token, enabled, capabilities, removed
	Value string `json:"value,omitempty"` // what it is now; never a token
}

// WebhookReceived is the payload of TypeWebhookReceived: a call from outside with the right
// signature. The subject is the project.
type WebhookReceived struct {
	V          int      `json:"v"`
	Connection string   `json:"connection"`
	Delivery   string   `json:"delivery"` // SHA-256 of the payload, hex
	Bytes      int      `json:"bytes"`
	Pipelines  []string `json:"pipelines,omitempty"` // that start
	Held       []string `json:"held,omitempty"`      // that are not permitted to use the connection
}
