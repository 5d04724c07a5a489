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
	attempts, err := r.Once(ctx, route.Alert{
		Labels: map[string]string{
			"alertname": AnnouncedItem, "severity": in.Severity, "project": in.Project, "item": number, "kind": in.Kind, "source": in.Source,
		},
		Annotations: map[string]string{"summary": in.Title, "description": "Item " + number + " was " + in.Text + ".", "next_step": "towpath item show " + number},
		Starts:      s.Clock.Now(), URL: page,
	})
	told := false
	for _, x := range attempts {
		told = told || x.Error == ""
		if rerr := s.recorded(ctx, x); rerr != nil {
			return errors.Join(err, fmt.Errorf("recording that item %d was announced: %w", in.Item, rerr))
		}
	}
	if told {
		return nil
	}
	return err
}
