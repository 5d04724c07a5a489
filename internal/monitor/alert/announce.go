package alert

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/alert/route"
)

// AnnouncedItem is the label alertname under which routes see work items.
const AnnouncedItem = "TowpathWorkItem"

// Announcement is a work item that people should hear of.
type Announcement struct {
	Project  string
	Item     int64
	Title    string
	Text     string // what happened to it: "opened", "opened again"
	Kind     string // bug, task, story or security
	Source   string // of the signal that made it, "" for none
	Severity string // critical, error, warning or info
}

// Announce sends a work item over the routes of its project and of the installation, as an
// alert with the labels alertname (AnnouncedItem), severity, project, item, kind and source:
// once, without grouping and repeats. Receivers that open items are left out. It is an error
// when nobody could be told of those who should be; what became of each is a Notification.
// It needs write in the project.
func (s *Service) Announce(ctx context.Context, a identity.Actor, in Announcement) error {
	if err := s.Auth.Require(ctx, a, in.Project, identity.Write); err != nil {
		return err
	}
	r := s.routing()
	if r == nil {
		return fault.New(fault.Unavailable, "Alerting is not running.").WithNext("try again in a moment")
	}
	number := strconv.FormatInt(in.Item, 10)
	page := ""
	if s.opts.URL != "" {
		page = strings.TrimSuffix(s.opts.URL, "/") + "/projects/" + in.Project + "/items/" + number
	}
	return s.once(ctx, r, "item "+number, route.Alert{
		Labels: map[string]string{
			"alertname": AnnouncedItem, "severity": in.Severity, "project": in.Project, "item": number, "kind": in.Kind, "source": in.Source,
		},
		Annotations: map[string]string{"summary": in.Title, "description": "Item " + number + " was " + in.Text + ".", "next_step": "towpath item show " + number},
		Starts:      s.Clock.Now(), URL: page,
	})
}

// AskedQuestion is the label alertname under which routes see what a run asks people.
const AskedQuestion = "TowpathQuestion"

// Question is what a run asks people to look at before it goes on.
type Question struct {
	Project string
	Run     int64
	Entry   string // what an answer names
	Title   string
	Text    string
	Asked   []string // "user:ada", "role:maintain"
}

// Ask sends a question over the routes of its project and of the installation, as Announce does
// with an item: as an alert with the labels alertname (AskedQuestion), severity (info), project,
// run and asked, which has those who are asked between commas, ",user:ada,role:maintain,", so
// that a route can be one person's. It needs write in the project.
func (s *Service) Ask(ctx context.Context, a identity.Actor, q Question) error {
	if err := s.Auth.Require(ctx, a, q.Project, identity.Write); err != nil {
		return err
	}
	r := s.routing()
	if r == nil {
		return fault.New(fault.Unavailable, "Alerting is not running.").WithNext("try again in a moment")
	}
	number := strconv.FormatInt(q.Run, 10)
	page := ""
	if s.opts.URL != "" {
		page = strings.TrimSuffix(s.opts.URL, "/") + "/projects/" + q.Project + "/runs/" + number
	}
	return s.once(ctx, r, "the question of run "+number, route.Alert{
		Labels: map[string]string{
			"alertname": AskedQuestion, "severity": Info, "project": q.Project, "run": number, "asked": "," + strings.Join(q.Asked, ",") + ",",
		},
		Annotations: map[string]string{"summary": q.Title, "description": q.Text, "next_step": "towpath approval approve " + q.Entry},
		Starts:      s.Clock.Now(), URL: page,
	})
}

// once sends an alert once over the routes, and records what became of it. It is an error when
// nobody could be told of those who should be.
func (s *Service) once(ctx context.Context, r *route.Router, what string, in route.Alert) error {
	attempts, err := r.Once(ctx, in)
	told := false
	for _, x := range attempts {
		told = told || x.Error == ""
		if rerr := s.recorded(ctx, x); rerr != nil {
			return errors.Join(err, fmt.Errorf("recording that %s was announced: %w", what, rerr))
		}
	}
	if told {
		return nil
	}
	return err
}
