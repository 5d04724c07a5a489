package monitor

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/monitor/table"
	"towpath.dev/towpath/internal/store"
)

// signals says which table speaks for which signal of a release.
var signals = []struct{ table, signal, role string }{
	{table.ContainerLogV2, "logs", "ContainerName"},
	{table.AppRequests, "traces", "AppRoleName"},
}

// Run notes in the logbook when a release is heard of for the first time, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	done := make(chan struct{}, len(signals))
	for _, sig := range signals {
		go func() {
			defer func() { done <- struct{}{} }()
			for ctx.Err() == nil {
				err := s.Stream.Follow(ctx, sig.table, "", true, func(b *table.Batch, _ int64) error {
					s.hear(ctx, b, sig.signal, sig.role)
					return nil
				})
				if err != nil && ctx.Err() == nil {
					s.Logger.Error("following telemetry", "table", sig.table, "error", err)
				}
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		}()
	}
	for range signals {
		<-done
	}
	return nil
}

// hear looks for releases in a batch that were not noted yet.
func (s *Service) hear(ctx context.Context, b *table.Batch, signal, roleColumn string) {
	at, role, env := b.Index(table.Release), b.Index(roleColumn), b.Index(table.Environment)
	if at < 0 || role < 0 || env < 0 {
		return
	}
	roles := map[string]map[string]bool{}
	for i, release := range b.Vectors[at].Text {
		if release == "" || s.known(release, signal) {
			continue
		}
		if roles[release] == nil {
			roles[release] = map[string]bool{}
		}
		roles[release][b.Vectors[role].Text[i]] = true
	}
	for release, by := range roles {
		if err := s.observe(ctx, release, signal, by); err != nil && ctx.Err() == nil {
			s.Logger.Error("noting the first telemetry of a release", "release", release, "error", err)
			continue
		}
		s.mu.Lock()
		s.heard[signal+" "+release] = true
		s.mu.Unlock()
	}
}

func (s *Service) known(release, signal string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard[signal+" "+release]
}

// observe appends release.observed unless the logbook has it already.
func (s *Service) observe(ctx context.Context, release, signal string, by map[string]bool) error {
	parts := strings.Split(release, "/")
	if len(parts) != 3 {
		return fault.New(fault.Internal, "%q is not the name of a release.", release)
	}
	subject := event.Of(event.KindRelease, release)
	facts, err := s.Log.Read(ctx, event.Query{Subject: subject})
	if err != nil {
		return err
	}
	var started time.Time
	for _, f := range facts {
		switch f.Type {
		case event.TypeReleaseStarted:
			started = f.Time
		case event.TypeReleaseObserved:
			var p event.ReleaseObserved
			if err := f.Into(&p); err != nil {
				return err
			}
			if p.Signal == signal {
				return nil
			}
		}
	}
	if started.IsZero() {
		return nil
	}
	payload := event.ReleaseObserved{V: 1, Release: release, Environment: parts[1], Signal: signal, Seconds: s.Clock.Now().Sub(started).Seconds()}
	payload.Roles = slices.Sorted(maps.Keys(by))
	return s.DB.Tx(ctx, func(tx *store.Tx) error {
		return s.Log.Append(ctx, tx, event.Fact{Type: event.TypeReleaseObserved, Project: parts[0], Subject: subject, Actor: identity.SystemActor("monitor").String(), Payload: payload})
	})
}
