package ingest

import (
	"context"

	"towpath.dev/towpath/internal/monitor/place"
	"towpath.dev/towpath/internal/monitor/table"
)

// Append stores rows that the platform makes itself: inventory and events of the cluster.
// Their columns Project, Environment, Release and ImageDigest are taken as they are. With
// it a Service is a Sink for those who watch the cluster.
func (s *Service) Append(ctx context.Context, batches []*table.Batch) error {
	for _, b := range batches {
		signal := SignalInventory
		if b.Table == table.KubeEvents {
			signal = SignalEvents
		}
		where := &own{service: s}
		for name, at := range map[string]*int{
			table.Project: &where.project, table.Environment: &where.environment, table.Release: &where.release, "Namespace": &where.namespace,
		} {
			*at = b.Index(name)
		}
		// Each under its own ID: one that was stored before the next failed is taken as
		// done when they come again.
		if err := s.put(ctx, signal, []*table.Batch{b}, where); err != nil {
			return err
		}
	}
	return nil
}

// own is a source whose rows say themselves whose they are.
type own struct {
	service                                  *Service
	project, environment, release, namespace int
	last                                     place.Place
	resource                                 string
}

func (o *own) owner() string { return "" }

func (o *own) find(b *table.Batch, row int) (*place.Place, string, string) {
	text := func(column int) string {
		if column < 0 || column >= len(b.Vectors) || b.Vectors[column].Text == nil {
			return ""
		}
		return b.Vectors[column].Text[row]
	}
	project := text(o.project)
	if o.resource == "" || project != o.last.Project {
		// A pod of the cluster, whichever: the id is the cluster's.
		o.resource = o.service.resource(place.Place{Project: project, Pod: "-"})
	}
	o.last = place.Place{Project: project, Environment: text(o.environment), Release: text(o.release), Namespace: text(o.namespace)}
	return &o.last, "", o.resource
}
