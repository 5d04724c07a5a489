package component

import (
	"context"
	"os"
	"path/filepath"
	"slices"

	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loop"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
	kubeletimpl "k8s.io/kubernetes/pkg/kubelet"

	"towpath.dev/towpath/kube/internal/config"
)

// entry is one upstream program: it reads os.Args (whose first element is the program's name) and returns the exit code.
type entry func() int

// entries is the table of programs. It is a function and not a variable so that nothing is constructed before it is asked for:
// building one cobra command tree costs more than the whole supervisor.
func entries() map[string]entry {
	return map[string]entry{
		"etcd":                    func() int { etcdmain.Main(os.Args); return 0 },
		"kube-apiserver":          func() int { return cli.Run(apiserver.NewAPIServerCommand()) },
		"kube-controller-manager": func() int { return cli.Run(manager.NewControllerManagerCommand()) },
		"kube-scheduler":          func() int { return cli.Run(scheduler.NewSchedulerCommand()) },
		"kube-proxy":              func() int { return cli.Run(proxy.NewProxyCommand()) },
		"kubelet":                 func() int { return cli.Run(kubeletCommand()) },
		"coredns":                 func() int { coremain.Run(); return 0 },
		"kubectl":                 runKubectl,
	}
}

// Names lists the programs that Run knows, sorted.
func Names() []string {
	var names []string
	for name := range entries() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Run runs the program of that name with args (without the program name) and returns its exit code. It reports false and runs
// nothing when there is no such program. It must be called once a process, from main: the programs read os.Args and take the
// process's signals, and some of them never return.
func Run(name string, args []string) (code int, known bool) {
	run, known := entries()[name]
	if !known {
		return 0, false
	}
	os.Args = append([]string{name}, args...)
	return run(), true
}

func kubeletCommand() *cobra.Command {
	if dir := os.Getenv(config.ContainerLogsVariable); dir != "" && filepath.IsAbs(dir) {
		kubeletimpl.ContainerLogsDir = dir
	}
	return kubelet.NewKubeletCommand(context.Background())
}

// runKubectl follows the main function of kubectl: verbosity has to be set before the command tree is built.
func runKubectl() int {
	logs.GlogSetter(kubectl.GetLogVerbosity(os.Args)) //nolint:errcheck // a wrong value is reported by the command's own flag parsing
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
		return 1
	}
	return 0
}
