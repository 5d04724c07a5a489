package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"towpath.dev/towpath/internal/work"
)

// InItem names an item.
type InItem struct {
	Number int64 `path:"number" doc:"number of the item" minimum:"1"`
}

// InSprint names a sprint of a project.
type InSprint struct {
	In
	Sprint string `path:"sprint" doc:"name or id, @current, @next or @previous" maxLength:"100"`
}

// ItemDetail is an item with everything around it.
type ItemDetail struct {
	work.Detail
	URL string `json:"url"`
}

// SprintDetail is a sprint with how it went.
type SprintDetail struct {
	work.Sprint
	Days []work.BurnDay `json:"days"`
}

// Triaged says what a planning decided about insights.
type Triaged struct {
	Items    []int64 `json:"items" maxItems:"200"`
	Decision string  `json:"decision" enum:"accepted,deferred"`
	Sprint   string  `json:"sprint,omitempty" doc:"where accepted ones go; empty leaves them in the backlog" maxLength:"100"`
}

func (a *server) workRoutes() {
	a.itemReads()
	a.itemWrites()
	a.boardRoutes()
	a.sprintRoutes()
	a.planRoutes()
}

func (a *server) itemReads() {
	op(a, http.MethodGet, "/projects/{project}/items", "item-list", "Items in the order of the backlog", func(ctx context.Context, in *struct {
		In
		State    string `query:"state" doc:"a state, a category, open or closed" maxLength:"100"`
		Type     string `query:"type" enum:"bug,task,story,security"`
		Assignee string `query:"assignee" doc:"user, or none" maxLength:"63"`
		Label    string `query:"label" maxLength:"50"`
		Severity string `query:"severity" enum:"critical,high,medium,low"`
		Sprint   string `query:"sprint" doc:"name or id, @current, @next, @previous or none" maxLength:"100"`
		Source   string `query:"source" doc:"of the signal that made it, or any" maxLength:"50"`
		Text     string `query:"text" doc:"words of the title, or a number" maxLength:"200"`
		Parent   int64  `query:"parent" minimum:"0"`
		Link     string `query:"link" doc:"subject that they link to: release:shop/production/48, or commit:<hash> for a commit and what became of it" maxLength:"350"`
		After    string `query:"after" doc:"next of the page before" maxLength:"400"`
		Limit    int    `query:"limit" minimum:"0" maximum:"500"`
	}) (*Body[work.Backlog], error) {
		return body(a.Work.Backlog(ctx, actor(ctx), in.Project, work.Filter{
			State: in.State, Type: in.Type, Assignee: in.Assignee, Label: in.Label, Severity: in.Severity, Sprint: in.Sprint, Source: in.Source,
			Text: in.Text, Parent: in.Parent, Link: in.Link, After: in.After, Limit: in.Limit,
		}))
	})
	op(a, http.MethodGet, "/items/{number}", "item-show", "An item with its links, comments, history and signals", func(ctx context.Context, in *InItem) (*Body[ItemDetail], error) {
		d, err := a.Work.Get(ctx, actor(ctx), in.Number)
		return body(ItemDetail{d, a.PublicURL + "/projects/" + d.Project + "/items/" + strconv.FormatInt(in.Number, 10)}, err)
	})
}

func (a *server) itemWrites() {
	op(a, http.MethodPost, "/projects/{project}/items", "item-create", "Make an item", func(ctx context.Context, in *struct {
		In
		Body work.NewItem
	}) (*Body[work.Item], error) {
		return body(a.Work.Create(ctx, actor(ctx), in.Project, in.Body))
	})
	op(a, http.MethodPatch, "/items/{number}", "item-edit", "Change an item; what is left out stays", func(ctx context.Context, in *struct {
		InItem
		Body work.Edit
	}) (*Body[work.Item], error) {
		return body(a.Work.Change(ctx, actor(ctx), in.Number, in.Body))
	})
	op(a, http.MethodPost, "/projects/{project}/items/move", "item-move", "Place items in the backlog, into a sprint or a state, all or none", func(ctx context.Context, in *struct {
		In
		Body work.Move
	}) (*Body[[]work.Item], error) {
		return body(list(a.Work.Move(ctx, actor(ctx), in.Project, in.Body)))
	})
	op(a, http.MethodPost, "/items/{number}/comments", "item-comment", "Say something about an item", func(ctx context.Context, in *struct {
		InItem
		Body Remark
	}) (*Body[work.Comment], error) {
		return body(a.Work.Comment(ctx, actor(ctx), in.Number, in.Body.Text))
	})
	op(a, http.MethodPatch, "/items/{number}/comments/{id}", "item-amend", "Change a comment of one's own", func(ctx context.Context, in *struct {
		InItem
		ID   string `path:"id" maxLength:"26"`
		Body Remark
	}) (*Body[work.Comment], error) {
		return body(a.Work.EditComment(ctx, actor(ctx), in.Number, in.ID, in.Body.Text))
	})
	op(a, http.MethodPost, "/items/{number}/links", "item-link", "Link an item to something", func(ctx context.Context, in *struct {
		InItem
		Body work.Link
	}) (*Body[work.Item], error) {
		return body(a.Work.Link(ctx, actor(ctx), in.Number, in.Body))
	})
	op(a, http.MethodPost, "/items/{number}/links/remove", "item-unlink", "Remove a link, told by its relation and its subject or address", func(ctx context.Context, in *struct {
		InItem
		Body work.Link
	}) (*Body[work.Item], error) {
		return body(a.Work.Unlink(ctx, actor(ctx), in.Number, in.Body))
	})
	op(a, http.MethodPost, "/items/{number}/wont-fix", "item-wontfix", "Silence the signal of an item until a day", func(ctx context.Context, in *struct {
		InItem
		Body Silenced
	}) (*Body[work.Item], error) {
		return body(a.Work.WontFix(ctx, actor(ctx), in.Number, in.Body.Why, in.Body.Until))
	})
}

// Remark is the text of a comment.
type Remark struct {
	Text string `json:"text" doc:"Markdown" maxLength:"65536"`
}

// Silenced says why a signal is not mended, and until when that stands.
type Silenced struct {
	Why   string    `json:"why" maxLength:"1000"`
	Until time.Time `json:"until"`
}

func (a *server) boardRoutes() {
	op(a, http.MethodGet, "/projects/{project}/board", "board-show", "Items by state", func(ctx context.Context, in *struct {
		In
		Sprint string `query:"sprint" doc:"name, id, @current, @next, all or none; empty is @current where there is one" maxLength:"100"`
		Lane   string `query:"lane" enum:"assignee,type,parent"`
	}) (*Body[work.Board], error) {
		return body(a.Work.Board(ctx, actor(ctx), in.Project, in.Sprint, in.Lane))
	})
	op(a, http.MethodGet, "/projects/{project}/states", "board-states", "The states of a project's items", func(ctx context.Context, in *In) (*Body[[]work.State], error) {
		return body(list(a.Work.States(ctx, actor(ctx), in.Project)))
	})
	op(a, http.MethodPut, "/projects/{project}/states", "board-set-states", "Replace the states of a project's items; none puts the default ones back", func(ctx context.Context, in *struct {
		In
		Body []work.State `maxItems:"20"`
	}) (*Body[[]work.State], error) {
		return body(list(a.Work.SetStates(ctx, actor(ctx), in.Project, in.Body)))
	})
}

func (a *server) sprintRoutes() {
	const one = "/projects/{project}/sprints/{sprint}"
	op(a, http.MethodGet, "/projects/{project}/sprints", "sprint-list", "Sprints, the first first", func(ctx context.Context, in *In) (*Body[[]work.Sprint], error) {
		return body(list(a.Work.Sprints(ctx, actor(ctx), in.Project)))
	})
	op(a, http.MethodGet, one, "sprint-show", "A sprint with its burndown", func(ctx context.Context, in *InSprint) (*Body[SprintDetail], error) {
		got, err := a.Work.Burndown(ctx, actor(ctx), in.Project, in.Sprint)
		return body(SprintDetail{got.Sprint, got.Days}, err)
	})
	op(a, http.MethodPost, "/projects/{project}/sprints", "sprint-create", "Make a sprint", func(ctx context.Context, in *struct {
		In
		Body work.SprintEdit
	}) (*Body[work.Sprint], error) {
		return body(a.Work.CreateSprint(ctx, actor(ctx), in.Project, in.Body))
	})
	op(a, http.MethodPatch, one, "sprint-edit", "Change a sprint, or start it", func(ctx context.Context, in *struct {
		InSprint
		Body work.SprintEdit
	}) (*Body[work.Sprint], error) {
		return body(a.Work.ChangeSprint(ctx, actor(ctx), in.Project, in.Sprint, in.Body))
	})
	op(a, http.MethodPost, one+"/close", "sprint-close", "Close a sprint and carry over what is open", func(ctx context.Context, in *struct {
		InSprint
		Body struct {
			Carry string `json:"carry,omitempty" doc:"name, id or @next; empty is the backlog" maxLength:"100"`
		}
	}) (*Body[work.Sprint], error) {
		return body(a.Work.CloseSprint(ctx, actor(ctx), in.Project, in.Sprint, in.Body.Carry))
	})
	op(a, http.MethodGet, "/projects/{project}/velocity", "sprint-velocity", "What the last sprints have done", func(ctx context.Context, in *In) (*Body[work.Velocity], error) {
		return body(a.Work.Velocity(ctx, actor(ctx), in.Project))
	})
}

func (a *server) planRoutes() {
	op(a, http.MethodGet, "/projects/{project}/plan", "sprint-plan", "Insights that wait for a planning, beside the room of the sprint", func(ctx context.Context, in *struct {
		In
		Sprint string `query:"sprint" doc:"that is planned; empty is @next, or @current" maxLength:"100"`
	}) (*Body[work.Tray], error) {
		return body(a.Work.Tray(ctx, actor(ctx), in.Project, in.Sprint))
	})
	op(a, http.MethodPost, "/projects/{project}/plan", "sprint-triage", "Accept or defer insights", func(ctx context.Context, in *struct {
		In
		Body Triaged
	}) (*Body[[]work.Item], error) {
		return body(list(a.Work.Triage(ctx, actor(ctx), in.Project, in.Body.Items, in.Body.Decision, in.Body.Sprint)))
	})
}
