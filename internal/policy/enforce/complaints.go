package enforce

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	"towpath.dev/towpath/internal/policy"
	"towpath.dev/towpath/internal/policy/vap"
)

// complaints are what controllers say when the API server refuses the pods that they make.
// They repeat themselves for as long as it lasts; each is recorded once.
type complaints struct {
	*Attribution
	seen map[string]bool
}

// failedCreate is the reason of such an event.
const failedCreate = "FailedCreate"

// maxSeen bounds what is remembered of complaints; the database knows the others.
const maxSeen = 10_000

// pageSize is how many objects are listed at once.
const pageSize = 500

// follow reads the complaints that are there, then those that come.
func (c *complaints) follow(ctx context.Context, client kubernetes.Interface) error {
	if err := c.conditions(ctx, client); err != nil {
		return err
	}
	options := metav1.ListOptions{FieldSelector: "reason=" + failedCreate, Limit: pageSize}
	for {
		l, err := client.CoreV1().Events("").List(ctx, options)
		if err != nil {
			return fmt.Errorf("listing events: %w", err)
		}
		for i := range l.Items {
			c.event(ctx, &l.Items[i])
		}
		options.ResourceVersion = l.ResourceVersion
		if options.Continue = l.Continue; l.Continue == "" {
			break
		}
		options.ResourceVersion = ""
	}
	options.Limit, options.AllowWatchBookmarks = 0, true
	w, err := client.CoreV1().Events("").Watch(ctx, options)
	if err != nil {
		return fmt.Errorf("watching events: %w", err)
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.ResultChan():
			if !ok {
				return errors.New("the watch of events ended")
			}
			if said, ok := e.Object.(*corev1.Event); ok {
				c.event(ctx, said)
			}
		}
	}
}

// event reads one event.
func (c *complaints) event(ctx context.Context, e *corev1.Event) {
	if e.Reason != failedCreate {
		return
	}
	at := e.LastTimestamp.Time
	if at.IsZero() {
		at = e.EventTime.Time
	}
	if at.IsZero() {
		at = e.CreationTimestamp.Time
	}
	by := e.Source.Component
	if by == "" {
		by = e.ReportingController
	}
	c.complain(ctx, complaint{at: at.UTC(), by: by, about: e.InvolvedObject, message: e.Message})
}

// conditions reads the complaints that ReplicaSets bear: an event is forgotten after an
// hour, a condition stays.
func (c *complaints) conditions(ctx context.Context, client kubernetes.Interface) error {
	options := metav1.ListOptions{Limit: pageSize}
	for {
		l, err := client.AppsV1().ReplicaSets("").List(ctx, options)
		if err != nil {
			return fmt.Errorf("listing ReplicaSets: %w", err)
		}
		for i := range l.Items {
			c.condition(ctx, &l.Items[i])
		}
		if options.Continue = l.Continue; l.Continue == "" {
			return nil
		}
	}
}

func (c *complaints) condition(ctx context.Context, rs *appsv1.ReplicaSet) {
	for _, s := range rs.Status.Conditions {
		if s.Type != appsv1.ReplicaSetReplicaFailure || s.Status != corev1.ConditionTrue || s.Reason != failedCreate {
			continue
		}
		c.complain(ctx, complaint{at: s.LastTransitionTime.UTC(), by: "replicaset-controller", message: s.Message, about: corev1.ObjectReference{
			APIVersion: "apps/v1", Kind: "ReplicaSet", Namespace: rs.Namespace, Name: rs.Name, UID: rs.UID,
		}})
	}
}

// complaint is one of them.
type complaint struct {
	at      time.Time
	by      string // the controller
	about   corev1.ObjectReference
	message string
}

// complain records a complaint for whoever applied the object that it is about. What the
// webhook refused it has recorded itself.
func (c *complaints) complain(ctx context.Context, m complaint) {
	refs := refsIn(m.message)
	if len(refs) == 0 {
		return
	}
	key := complaintKey(string(m.about.UID), refs)
	if c.seen[key] {
		return
	}
	gk := schema.FromAPIVersionAndKind(m.about.APIVersion, m.about.Kind).GroupKind()
	by, err := c.behind(ctx, gk, m)
	if err == nil {
		object := policy.Judged{Version: "v1", Kind: "Pod", Namespace: m.about.Namespace, Name: refused(m.message), Operation: "CREATE"}
		if object.Name == "" {
			object.Name = m.about.Name + "-"
		}
		err = c.record(ctx, key, m.at, by, object, refs)
	}
	if err != nil {
		if ctx.Err() == nil {
			c.Logger.Error("recording a refusal that a controller met", "kind", m.about.Kind, "namespace", m.about.Namespace, "name", m.about.Name, "error", err)
		}
		return
	}
	if len(c.seen) >= maxSeen {
		clear(c.seen)
	}
	c.seen[key] = true
}

// behind finds who applied what the controller worked for.
func (c *complaints) behind(ctx context.Context, gk schema.GroupKind, m complaint) (Applied, error) {
	unknown := Applied{Actor: "serviceaccount:kube-system/" + m.by, Time: m.at}
	self, ok, err := c.Appliers.owners.find(ctx, m.about.Namespace, metav1.OwnerReference{
		APIVersion: m.about.APIVersion, Kind: gk.Kind, Name: m.about.Name, UID: m.about.UID,
	})
	if err != nil || !ok {
		return unknown, err
	}
	by, ok, err := c.Appliers.Behind(ctx, self)
	if err != nil || !ok {
		return unknown, err
	}
	return by, nil
}

// complaintKey identifies what is said about an object, however often it is said.
func complaintKey(uid string, refs []vap.Ref) string {
	h := sha256.New()
	for _, r := range refs {
		fmt.Fprintf(h, "%q %q %q %q\n", r.Object, r.Assignment, r.Rule, r.Policy)
	}
	return "controller:" + uid + ":" + hex.EncodeToString(h.Sum(nil))[:16]
}
