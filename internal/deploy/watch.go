package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"towpath.dev/towpath/internal/store"
)

// Recover records the end of releases that a crash of this server cut off. It is
// called once, before the first release.
func (s *Service) Recover(ctx context.Context) error {
	open, err := releases(ctx, s.DB, `result = ?`, Started)
	if err != nil {
		return err
	}
	for _, r := range open {
		// A canary goes on where it was.
		tried, err := liveCanary(ctx, s.DB, r)
		if err != nil {
			return err
		}
		if tried {
			continue
		}
		r.Result, r.Why = Failed, "the server ended while this release was under way; the next one puts it right"
		if err := s.finish(ctx, &r); err != nil {
			return err
		}
	}
	return nil
}

// Run watches the pods of all environments and records when they change, until ctx
// ends. It waits for the cluster and comes back after it was away. Before it returns,
// releases that are under way are cancelled and put the old version back; so it must be
// stopped before the cluster is.
func (s *Service) Run(ctx context.Context) error {
	defer func() {
		if !s.shift.finish(settleTime) {
			s.Logger.Warn("a release is still under way; the next start records its end")
		}
	}()
	go s.tendAll(ctx)
	go s.driftAll(ctx)
	go s.policeAll(ctx)
	go s.reviewAll(ctx)
	for ctx.Err() == nil {
		client, err := s.adminClient(ctx)
		if err == nil {
			err = s.follow(ctx, client)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.Logger.Debug("pods are not watched", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
	return nil
}

func (s *Service) follow(ctx context.Context, client kubernetes.Interface) error {
	factory := informers.NewSharedInformerFactory(client, 10*time.Minute)
	informer := factory.Core().V1().Pods().Informer()
	if err := informer.SetTransform(slim); err != nil {
		return err
	}
	handle := func(v any, gone bool) {
		if d, ok := v.(cache.DeletedFinalStateUnknown); ok {
			v = d.Obj
		}
		pod, ok := v.(*corev1.Pod)
		if !ok {
			return
		}
		if err := s.note(ctx, pod, gone); err != nil && ctx.Err() == nil {
			s.Logger.Error("recording a pod", "pod", pod.Name, "namespace", pod.Namespace, "error", err)
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(v any) { handle(v, false) },
		UpdateFunc: func(_, v any) { handle(v, false) },
		DeleteFunc: func(v any) { handle(v, true) },
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return errors.New("the cluster did not list its pods")
	}
	if err := s.sweep(ctx, informer.GetStore()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// slim drops what is large and of no use here before a pod is kept in memory.
func slim(v any) (any, error) {
	if p, ok := v.(*corev1.Pod); ok {
		p.ManagedFields = nil
		p.Spec.Volumes = nil
	}
	return v, nil
}

// sweep marks pods as gone that went while nobody watched.
func (s *Service) sweep(ctx context.Context, store cache.Store) error {
	there := map[string]bool{}
	for _, v := range store.List() {
		if p, ok := v.(*corev1.Pod); ok {
			there[string(p.UID)] = true
		}
	}
	rows, err := s.DB.Query(ctx, `SELECT uid, namespace, name FROM release_pod WHERE gone = 0`)
	if err != nil {
		return fmt.Errorf("reading known pods: %w", err)
	}
	var lost []*corev1.Pod
	for rows.Next() {
		var uid string
		p := &corev1.Pod{}
		if err := rows.Scan(&uid, &p.Namespace, &p.Name); err != nil {
			return errors.Join(err, rows.Close())
		}
		if !there[uid] {
			p.UID = types.UID(uid)
			lost = append(lost, p)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, p := range lost {
		if err := s.note(ctx, p, true); err != nil {
			return err
		}
	}
	return nil
}

// note records a pod's change, and says it when it is news. Pods of a release that is
// under way are recorded when it ends.
func (s *Service) note(ctx context.Context, pod *corev1.Pod, gone bool) error {
	r, known, err := s.owner(ctx, pod)
	if err != nil || r == nil {
		return err
	}
	now := podOf(pod)
	now.Since = s.Clock.Now()
	if gone || pod.DeletionTimestamp != nil {
		if known == nil {
			return nil
		}
		now.Gone, now.Ready, now.Images, now.Why = true, false, known.Images, "deleted"
	}
	if known != nil && known.Gone || known != nil && known.Ready == now.Ready && known.Gone == now.Gone && known.Restarts == now.Restarts && known.Why == now.Why {
		return nil
	}
	news := s.told.news(known, now)
	err = s.DB.Tx(ctx, func(tx *store.Tx) error {
		if err := putPod(ctx, tx, *r, now); err != nil || !news {
			return err
		}
		return s.Log.Append(ctx, tx, podFact(*r, now))
	})
	if err == nil && news {
		s.told.keep(now)
	}
	return err
}

// owner returns the release that a pod belongs to and how the pod was seen last; nil
// when it belongs to none.
func (s *Service) owner(ctx context.Context, pod *corev1.Pod) (*Release, *Pod, error) {
	got, err := releases(ctx, s.DB, `(project, environment, number) IN (SELECT project, environment, number FROM release_pod WHERE uid = ?)`, string(pod.UID))
	if err != nil {
		return nil, nil, err
	}
	if len(got) == 1 {
		all, err := pods(ctx, s.DB, got[0])
		if err != nil {
			return nil, nil, err
		}
		for _, p := range all {
			if p.UID == string(pod.UID) {
				return &got[0], &p, nil
			}
		}
	}
	// A new pod, after scaling or a restart, belongs to what its environment runs now.
	// Pods of a release that is under way are recorded when it ends.
	newest, err := releases(ctx, s.DB, `(project, environment) IN (SELECT project, name FROM environment WHERE namespace = ?)
		ORDER BY number DESC LIMIT ?`, pod.Namespace, maxHistory)
	if err != nil || len(newest) == 0 || newest[0].Result == Started {
		return nil, nil, err
	}
	return ownerOf(newest, pinned(pod)), nil, nil
}

// pinned returns the digests that a pod's spec asks for. What really runs does not
// matter here: a tag of a foreign registry becomes a digest that no release names.
func pinned(pod *corev1.Pod) []string {
	images := make([]string, 0, len(pod.Spec.Containers))
	for _, c := range pod.Spec.Containers {
		images = append(images, c.Image)
	}
	return digests(images)
}

// ownerOf picks the release that a pod with these digests came of: the newest that was
// deployed, unless a pod of another one is still there, as after a server that was
// killed in the middle; nil when no release has such images.
func ownerOf(newest []Release, pinned []string) *Release {
	var other *Release
	for i := range newest {
		has := digests(newest[i].Images)
		if slices.ContainsFunc(pinned, func(d string) bool { return !slices.Contains(has, d) }) {
			continue
		}
		if newest[i].Result == Deployed {
			return &newest[i]
		}
		if other == nil {
			other = &newest[i]
		}
	}
	return other
}
