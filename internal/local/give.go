package local

import (
	"context"
	"fmt"
	"os"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/check"
	"towpath.dev/towpath/internal/pipeline/library"
	"towpath.dev/towpath/internal/pipeline/plan"
)

// secretGroup is the variable group that the secrets of the command line are in.
const secretGroup = "command-line"

// give puts what the user gave where the domain keeps such things: tasks, secrets, variable
// groups, connections and secure files. It permits the pipeline of repo the repositories
// that the user gave folders for.
func (h *host) give(ctx context.Context, repo string) error {
	for _, name := range h.repos {
		of, short, _ := strings.Cut(name, "/")
		if err := h.svc.Checks().Permit(ctx, h.actor, check.Resource{Kind: check.Repository, Project: of, Name: short}, repo, true); err != nil {
			return err
		}
	}
	for _, task := range h.cfg.Tasks {
		if _, err := h.svc.Gallery().Add(ctx, h.actor, project, task); err != nil {
			return err
		}
	}
	if err := h.giveGroups(ctx); err != nil {
		return err
	}
	for _, c := range h.cfg.Connections {
		if _, err := h.svc.Library().CreateConnection(ctx, h.actor, project, c, true); err != nil {
			return fmt.Errorf("giving the connection %s: %w", c.Name, err)
		}
	}
	for name, path := range h.cfg.SecureFiles {
		if err := h.giveFile(ctx, name, path); err != nil {
			return err
		}
	}
	return nil
}

// giveGroups gives the variable groups, and the secrets of the command line as one.
func (h *host) giveGroups(ctx context.Context) error {
	groups := h.cfg.Groups
	if len(h.cfg.Secrets) > 0 {
		groups = map[string]map[string]string{secretGroup: h.cfg.Secrets}
		for name, values := range h.cfg.Groups {
			groups[name] = values
		}
		// The variables of the file go before what the command line says (X047).
		h.cfg.Plan.Variables = append([]plan.Variable{{Group: secretGroup}}, h.cfg.Plan.Variables...)
	}
	for name, values := range groups {
		var list []library.Value
		for n, v := range values {
			list = append(list, library.Value{Name: n, Value: v, Secret: true})
		}
		if _, err := h.svc.Library().CreateGroup(ctx, h.actor, project, name, "", list, true); err != nil {
			return err
		}
	}
	return nil
}

func (h *host) giveFile(ctx context.Context, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fault.Wrap(fault.NotFound, err, "The secure file %s cannot be read from %s.", name, path)
	}
	defer f.Close()
	_, err = h.svc.Library().UploadFile(ctx, h.actor, project, name, f, true)
	return err
}
