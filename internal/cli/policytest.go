package cli

import (
	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/policy/try"
)

// policyTest judges files without a server. -o sarif is a form of its own.
func (e *env) policyTest() *cobra.Command {
	var o try.Options
	c := &cobra.Command{
		Use: "test", Short: "Judge manifests and charts without a server", Args: cobra.NoArgs,
		Long: "Judges Kubernetes objects by the built-in initiatives (baseline, restricted, supply-chain), or by the definitions and templates\n" +
			"of a folder, with the evaluator that the server uses. Exit code 0: allowed; 1: refused; 2: it could not be judged.\n" +
			"The flag -o takes table, json or sarif.",
		Example: "  towpath policy test --resources charts/shop\n  towpath policy test --initiative restricted --resources deploy.yaml -o sarif\n" +
			"  towpath policy test --policies policies/ --resources deploy.yaml",
		RunE: func(c *cobra.Command, _ []string) error {
			o.Format, o.Stdin = e.output, e.in
			if o.Format == "wide" {
				o.Format = try.Table
			}
			if code := try.Run(c.Context(), o, e.out, e.err); code != try.Allowed {
				return exitCode(code)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.Initiatives, "initiative", nil, "built-in initiative (default: baseline)")
	f.StringSliceVar(&o.Policies, "policies", nil, "file or folder of definitions, initiatives and templates")
	f.StringSliceVar(&o.Resources, "resources", nil, "file, folder or chart to judge; - is standard input")
	f.StringVarP(&o.Namespace, "namespace", "n", "", "namespace of objects that name none (default: default)")
	f.StringVar(&o.Release, "release", "", "of a chart: name of the release")
	f.StringSliceVar(&o.Values, "values", nil, "of a chart: values file")
	f.StringArrayVar(&o.Set, "set", nil, "of a chart: KEY=VALUE")
	f.StringVar(&o.KubeVersion, "kube-version", "", "of a chart: version of Kubernetes to render for")
	_ = c.MarkFlagRequired("resources") // Fails for a flag that does not exist only.
	return c
}
