package evidence

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/event"
)

// releaseChanges finds what a release is of: its run's change, else its commit's, else
// those of its images.
func (f feed) releaseChanges(ctx context.Context, p event.Release) ([]int64, error) {
	if p.Run > 0 {
		ids, err := f.changesOf(ctx, event.OfRun(p.Run))
		if err != nil || len(ids) > 0 {
			return ids, err
		}
	}
	if p.Commit != "" {
		id, ok, err := f.changeOf(ctx, "", "", p.Commit)
		if err != nil || ok {
			return []int64{id}, err
		}
	}
	for _, image := range p.Images {
		_, digest, ok := strings.Cut(image, "@")
		if !ok {
			continue
		}
		ids, err := f.changesOf(ctx, event.Of(event.KindImage, digest))
		if err != nil {
			return nil, err
		}
		if len(ids) > 0 {
			return ids[len(ids)-1:], nil
		}
	}
	return nil, nil
}

func (f feed) release(ctx context.Context) error {
	p, ok := decode[event.Release](f.e)
	if !ok {
		return nil
	}
	ids, err := f.releaseChanges(ctx, p)
	if err != nil {
		return err
	}
	b := body{State: Shut, Environment: p.Environment, Name: p.Result, Why: p.Why, Seconds: p.Seconds}
	if i := strings.LastIndex(p.Release, "/"); i >= 0 {
		if b.Number, err = strconv.ParseInt(p.Release[i+1:], 10, 64); err != nil {
			b.Number = 0 // Named by someone else's rule: the order of the events decides.
		}
	}
	switch {
	case f.e.Type == event.TypeReleaseStarted:
		b.State = Passing
	case p.Result == "deployed":
		b.State = Open
	}
	for _, id := range ids {
		if err := f.bind(ctx, f.e.Subject, id); err != nil {
			return err
		}
		if err := f.put(ctx, id, LockDeploy, p.Release, p.Run, b); err != nil {
			return err
		}
		for _, pod := range p.Pods {
			if err := f.pod(ctx, id, pod.UID, body{State: podState(pod.Ready, ""), Name: pod.Name}); err != nil {
				return err
			}
		}
	}
	return nil
}

// podState: a pod that is not ready and says why has failed; without a reason it is
// still starting.
func podState(ready bool, why string) State {
	switch {
	case ready:
		return Open
	case why != "":
		return Shut
	}
	return Passing
}

// pod writes a pod to the change that runs it now, and takes it from the one before.
func (f feed) pod(ctx context.Context, change int64, uid string, b body) error {
	_, err := f.tx.Exec(ctx, `DELETE FROM path_part WHERE lock = ? AND part = ? AND change_id <> ? AND seq <= ?`, LockHealth, uid, change, f.e.Seq)
	if err != nil {
		return fmt.Errorf("moving pod %s: %w", uid, err)
	}
	return f.put(ctx, change, LockHealth, uid, 0, b)
}

func (f feed) podChanged(ctx context.Context) error {
	p, ok := decode[event.PodChanged](f.e)
	if !ok {
		return nil
	}
	if err := f.name(ctx, namePod, p.Name, f.e.Subject); err != nil {
		return err
	}
	if p.Gone {
		_, err := f.tx.Exec(ctx, `DELETE FROM path_part WHERE lock = ? AND part = ? AND seq <= ?`, LockHealth, p.UID, f.e.Seq)
		if err != nil {
			return fmt.Errorf("removing pod %s: %w", p.UID, err)
		}
		return nil
	}
	ids, err := f.changesOf(ctx, event.Of(event.KindRelease, p.Release))
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := f.pod(ctx, id, p.UID, body{State: podState(p.Ready, p.Why), Name: p.Name, Why: p.Why}); err != nil {
			return err
		}
	}
	return nil
}
