package check

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"

	"towpath.dev/towpath/internal/fault"
)

// ArtifactRule is what must be known of every image that the run has pushed (C005).
type ArtifactRule struct {
	Signed     bool `json:"signed,omitempty"`
	Scanned    bool `json:"scanned,omitempty"`
	Provenance bool `json:"provenance,omitempty"`
	// NoCritical wants a scan without a critical finding.
	NoCritical bool `json:"noCritical,omitempty"`
	// Expression is CEL over "image" (repository, digest, signed, scanned, provenance, sbom,
	// critical, high, medium, low, unknown) and "run" (number, project, repo, ref, commit,
	// reason, requester), true for an image that passes.
	Expression string `json:"expression,omitempty"`
}

// maxCost bounds what an expression may compute, in the units of CEL.
const maxCost = 1_000_000

func (r *ArtifactRule) check() error {
	if !r.Signed && !r.Scanned && !r.Provenance && !r.NoCritical && r.Expression == "" {
		return fault.New(fault.Invalid, "An artifact is evaluated by something.").WithNext("set signed, scanned, provenance, noCritical or expression")
	}
	if len(r.Expression) > maxText {
		return fault.New(fault.Invalid, "An expression has at most %d bytes.", maxText)
	}
	if r.Expression == "" {
		return nil
	}
	_, err := program(r.Expression)
	return err
}

func program(source string) (cel.Program, error) {
	text := func(reason error) error {
		return fault.Wrap(fault.Invalid, reason, "The expression is not CEL that yields true or false: %s.", firstLine(reason.Error())).
			WithNext("an example: image.signed && image.critical == 0")
	}
	env, err := cel.NewEnv(cel.Variable("image", cel.MapType(cel.StringType, cel.DynType)), cel.Variable("run", cel.MapType(cel.StringType, cel.DynType)))
	if err != nil {
		return nil, fmt.Errorf("making the language of expressions: %w", err)
	}
	ast, issues := env.Compile(source)
	if err := issues.Err(); err != nil {
		return nil, text(err)
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, text(fmt.Errorf("it yields %s", t))
	}
	p, err := env.Program(ast, cel.CostLimit(maxCost), cel.InterruptCheckFrequency(1000))
	if err != nil {
		return nil, text(err)
	}
	return p, nil
}

func (r *ArtifactRule) ask(ctx context.Context, s Subject, o Outside) (Answer, error) {
	if len(s.Images) == 0 {
		return no("run %d has pushed no image that could be evaluated", s.Run), nil
	}
	for _, i := range s.Images {
		known, err := o.Evidence(ctx, i)
		if err != nil {
			return Answer{}, fmt.Errorf("asking what is known of %s: %w", i.Repository, err)
		}
		if a := r.judge(ctx, s, i, known); !a.OK {
			return a, nil
		}
	}
	return yes(plural(len(s.Images), "image") + " evaluated"), nil
}

// judge says what is wrong with an image. Evidence that is still to come is waited for: the
// answer is not final.
func (r *ArtifactRule) judge(ctx context.Context, s Subject, i Image, known Evidence) Answer {
	var missing []string
	need := func(wanted, there bool, what string) {
		if wanted && !there {
			missing = append(missing, what)
		}
	}
	need(r.Signed, known.Signed, "signed")
	need(r.Scanned || r.NoCritical, known.Scanned, "scanned")
	need(r.Provenance, known.Provenance, "attested by provenance")
	switch {
	case len(missing) > 0:
		return Answer{Why: i.Repository + " is not yet " + strings.Join(missing, ", ")}
	case r.NoCritical && known.Critical > 0:
		return no("%s has %s", i.Repository, plural(known.Critical, "critical finding"))
	case r.Expression == "":
		return Answer{OK: true}
	}
	p, err := program(r.Expression)
	if err != nil {
		return no("the expression does not compile")
	}
	out, _, err := p.ContextEval(ctx, map[string]any{
		"image": map[string]any{
			"repository": i.Repository, "digest": i.Digest, "signed": known.Signed, "scanned": known.Scanned, "provenance": known.Provenance,
			"sbom": known.SBOM, "critical": known.Critical, "high": known.High, "medium": known.Medium, "low": known.Low, "unknown": known.Unknown,
		},
		"run": map[string]any{
			"number": s.Run, "project": s.Project, "repo": s.Repo, "ref": s.Ref, "commit": s.Commit, "reason": s.Reason, "requester": s.Requester,
		},
	})
	if err != nil {
		return no("the expression cannot be evaluated for %s: %s", i.Repository, firstLine(err.Error()))
	}
	if ok, is := out.Value().(bool); is && ok {
		return Answer{OK: true}
	}
	if !known.Signed || !known.Scanned {
		return Answer{Why: "the expression is not true yet for " + i.Repository}
	}
	return no("the expression is not true for %s", i.Repository)
}
