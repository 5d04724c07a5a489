package app

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"time"
)

// agentUser is the unprivileged user that the steps of jobs run as.
const agentUser = "towpath-agent"

// runAgents keeps the configured number of host agents running as child processes
// until ctx ends.
func (a *App) runAgents(ctx context.Context) error {
	if a.cfg.Agents <= 0 {
		<-ctx.Done()
		return nil
	}
	account := ""
	if os.Geteuid() == 0 {
		if err := ensureUser(ctx); err != nil {
			// Without the user no job may run: as root it would own the host.
			a.logger.Error("host agents cannot run", "error", err)
			<-ctx.Done()
			return nil
		}
		account = agentUser
	}
	a.keep(ctx, "host agent", func() error { return a.agent(ctx, account) })
	return nil
}

// ensureUser makes the system account that steps run as.
func ensureUser(ctx context.Context) error {
	if _, err := user.Lookup(agentUser); err == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, "useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", agentUser)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("making the user %s: %w: %s", agentUser, err, out)
	}
	return nil
}

// agent runs one towpath-agent to its end.
func (a *App) agent(ctx context.Context, account string) error {
	work := filepath.Join(a.cfg.Data, "work")
	if err := os.MkdirAll(work, 0o711); err != nil {
		return err
	}
	args := []string{
		"--server", "http://" + loopback(a.Addr), "--token-file", filepath.Join(a.cfg.Data, "agent-token"), "--work", work,
		"--name", "host", "--slots", fmt.Sprint(a.cfg.Agents),
	}
	if account != "" {
		args = append(args, "--user", account)
	}
	log, err := os.OpenFile(filepath.Join(a.cfg.Data, "logs", "agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, filepath.Join(a.cfg.Programs, "towpath-agent"), args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
	for _, name := range []string{"GOPROXY", "GOFLAGS", "GONOSUMDB", "GOSUMDB", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		if v, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	return runChild(cmd, log, 15*time.Second)
}
