package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/open-policy-agent/frameworks/constraint/pkg/client/drivers"
	"github.com/open-policy-agent/frameworks/constraint/pkg/client/reviews"
	"github.com/open-policy-agent/frameworks/constraint/pkg/core/templates"
	"github.com/open-policy-agent/frameworks/constraint/pkg/types"
	celschema "github.com/open-policy-agent/gatekeeper/v3/pkg/drivers/k8scel/schema"
	"github.com/open-policy-agent/opa/v1/storage"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
)

// celDriver is a driver of the constraint framework for Gatekeeper's K8sNativeValidation.
// Gatekeeper has one too. This one differs where a verdict here must be the API server's:
// it has the API server's cost budget for a policy instead of the tenth of it that is for
// one expression, it refuses templates that do not compile when they are added, it tells
// an expression that failed from one that is false, and it takes the object decoded.
type celDriver struct {
	mu       sync.RWMutex
	programs map[string]*celProgram // by the template's name
	before   map[string]*celProgram // of the set before this one, by their digests
}

var _ drivers.Driver = (*celDriver)(nil)

func newCELDriver() *celDriver { return &celDriver{programs: map[string]*celProgram{}} }

// celReview is what the driver judges.
type celReview struct {
	attributes *admission.VersionedAttributes
	namespace  *corev1.Namespace
}

// unjudged marks a result that is not a violation but an error, in Result.Metadata.
const unjudged = "error"

// Name is the engine of templates that the driver takes.
func (d *celDriver) Name() string { return celschema.Name }

// AddTemplate compiles a template; every expression of it must compile.
func (d *celDriver) AddTemplate(_ context.Context, ct *templates.ConstraintTemplate) error {
	source, err := celschema.GetSourceFromTemplate(ct)
	if err != nil {
		return err
	}
	text, err := json.Marshal(source)
	if err != nil {
		return fmt.Errorf("making the digest of the program: %w", err)
	}
	sum := sha256.Sum256(text)
	digest := hex.EncodeToString(sum[:])
	p, known := d.before[digest]
	if !known {
		if p, err = compileCEL(source); err != nil {
			return err
		}
		p.digest = digest
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.programs[ct.GetName()] = p
	return nil
}

// compiled returns the programs by their digests.
func (d *celDriver) compiled() map[string]*celProgram {
	d.mu.RLock()
	defer d.mu.RUnlock()
	out := make(map[string]*celProgram, len(d.programs))
	for _, p := range d.programs {
		out[p.digest] = p
	}
	return out
}

// RemoveTemplate forgets a template.
func (d *celDriver) RemoveTemplate(_ context.Context, ct *templates.ConstraintTemplate) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.programs, ct.GetName())
	return nil
}

// AddConstraint has nothing to do: constraints come with each query.
func (d *celDriver) AddConstraint(context.Context, *unstructured.Unstructured) error { return nil }

// RemoveConstraint has nothing to do.
func (d *celDriver) RemoveConstraint(context.Context, *unstructured.Unstructured) error { return nil }

// AddData has nothing to do: CEL programs see no other objects.
func (d *celDriver) AddData(context.Context, string, storage.Path, any) error { return nil }

// RemoveData has nothing to do.
func (d *celDriver) RemoveData(context.Context, string, storage.Path) error { return nil }

// Query judges a *celReview by constraints: a result for each validation that is not true
// or could not be evaluated (then with Metadata[unjudged]).
func (d *celDriver) Query(ctx context.Context, target string, constraints []*unstructured.Unstructured, review any, _ ...reviews.ReviewOpt) (*drivers.QueryResponse, error) {
	r, ok := review.(*celReview)
	if !ok {
		return nil, fmt.Errorf("judging a %T with CEL: it is not a review of this driver", review)
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	out, at := &drivers.QueryResponse{}, newCELRun(r)
	for _, c := range constraints {
		p := d.programs[strings.ToLower(c.GetKind())]
		if p == nil {
			return nil, fmt.Errorf("judging with CEL: template %s is not there", c.GetKind())
		}
		res := at.judge(ctx, p, c)
		for _, decision := range res.Decisions {
			if decision.Action != validating.ActionDeny {
				continue
			}
			result := &types.Result{Target: target, Msg: decision.Message, Constraint: c}
			if decision.Evaluation == validating.EvalError {
				result.Metadata = map[string]any{unjudged: true}
			}
			out.Results = append(out.Results, result)
		}
	}
	return out, nil
}

// Dump describes the driver's state; there is none worth showing.
func (d *celDriver) Dump(context.Context) (string, error) { return "", nil }

// GetDescriptionForStat knows no statistics.
func (d *celDriver) GetDescriptionForStat(string) (string, error) {
	return "", errors.New("the CEL driver has no statistics")
}
