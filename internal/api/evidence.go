package api

import (
	"context"
	"net/http"

	"towpath.dev/towpath/internal/evidence"
)

// BundleAnswer is a bundle, byte for byte as it was signed.
type BundleAnswer struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (a *server) evidenceRoutes() {
	op(a, http.MethodGet, "/trace", "trace-show", "The evidence chain through a thing: back to its commits and forward to its items", func(ctx context.Context, in *struct {
		Ref string `query:"ref" required:"true" doc:"commit/SHA, pull/PROJECT/REPOSITORY/N, image/DIGEST, image/REPOSITORY:TAG, run/N, release/PROJECT/ENV/N, pod/NAME, alert/ID, item/N, session/ID" maxLength:"512"`
	}) (*Body[evidence.Chain], error) {
		return body(a.Evidence.Trace(ctx, actor(ctx), in.Ref))
	})
	op(a, http.MethodGet, "/trace/bundle", "trace-export", "The evidence chain with its documents as a signed bundle", func(ctx context.Context, in *struct {
		Ref string `query:"ref" required:"true" doc:"as of the evidence chain" maxLength:"512"`
	}) (*BundleAnswer, error) {
		raw, err := a.Exporter.Bundle(ctx, actor(ctx), in.Ref)
		return &BundleAnswer{ContentType: "application/vnd.towpath.evidence.v1+json", Body: raw}, err
	})
	op(a, http.MethodGet, "/trace/key", "trace-key", "The public key with which bundles are signed", func(ctx context.Context, _ *Empty) (*Body[evidence.Key], error) {
		return body(a.Exporter.Key(ctx, actor(ctx)))
	})
	op(a, http.MethodGet, "/projects/{project}/path", "path-show", "The Path: every change on its way, and what holds it", func(ctx context.Context, in *struct {
		In
		PushedBy     string `query:"pushed_by" maxLength:"128" example:"user:ada"`
		Branch       string `query:"branch" maxLength:"256"`
		State        string `query:"state" enum:"open,passing,held,shut" doc:"only changes with a cell in this state"`
		InProduction bool   `query:"in_production"`
		Text         string `query:"text" maxLength:"256"`
		Before       int64  `query:"before" doc:"only rows with a smaller id, for the next page"`
		Limit        int    `query:"limit" minimum:"0" maximum:"200"`
	}) (*Body[evidence.Board], error) {
		return body(a.Evidence.Path(ctx, actor(ctx), in.Project, evidence.Filter{
			PushedBy: in.PushedBy, Branch: in.Branch, State: evidence.State(in.State), InProduction: in.InProduction, Text: in.Text,
			Before: in.Before, Limit: in.Limit,
		}))
	})
}
