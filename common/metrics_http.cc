#include "common/metrics_http.h"

#include <httplib.h>
#include <sys/resource.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "common/address.h"
#include "common/file.h"
#include "common/proc.h"
#include "common/status.h"
#include "common/version.h"

namespace qsweep {
namespace {

constexpr size_t kThreads = 2;
constexpr size_t kMaxRequestBytes = 4096;
constexpr int kTimeoutSeconds = 5;
constexpr char kContentType[] = "text/plain; version=0.0.4; charset=utf-8";

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

}  // namespace

void MetricsPage::Sample(absl::string_view type, absl::string_view name, absl::string_view help,
                         double value, Labels labels) {
  if (name != last_name_) {
    absl::StrAppend(&text_, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
    last_name_ = std::string(name);
  }
  absl::StrAppend(&text_, name);
  char before = '{';
  for (const auto& [label, text] : labels) {
    absl::StrAppend(&text_, absl::string_view(&before, 1), label, "=\"",
                    absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}}),
                    "\"");
    before = ',';
  }
  absl::StrAppend(&text_, before == ',' ? "} " : " ", absl::StrFormat("%.17g", value), "\n");
}

void MetricsPage::Gauge(absl::string_view name, absl::string_view help, double value,
                        Labels labels) {
  Sample("gauge", name, help, value, labels);
}

void MetricsPage::Counter(absl::string_view name, absl::string_view help, double value,
                          Labels labels) {
  Sample("counter", name, help, value, labels);
}

void MetricsPage::Process() {
  Gauge("qsweep_build_info", "Constant 1, with the version.", 1, {{"version", kVersion}});
  rusage use{};
  if (::getrusage(RUSAGE_SELF, &use) == 0) {
    Counter("process_cpu_seconds_total", "Processor time used.",
            Seconds(use.ru_utime) + Seconds(use.ru_stime));
  }
  if (const int64_t bytes = ResidentBytes(); bytes > 0) {
    Gauge("process_resident_memory_bytes", "Memory resident.", static_cast<double>(bytes));
  }
  const auto files = ListDirectory("/proc/self/fd");
  if (files.ok()) Gauge("process_open_fds", "Open files.", static_cast<double>(files->size()));
}

struct MetricsServer::Impl {
  httplib::Server server;
  std::thread thread;
};

MetricsServer::MetricsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

MetricsServer::~MetricsServer() {
  impl_->server.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
}

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    const std::string& address, std::function<MetricsPage()> page) {
  const absl::StatusOr<HostAndPort> parts = ParseHostAndPort(address);
  if (!parts.ok() || !parts->port) {
    return absl::InvalidArgumentError(
        absl::StrCat("metrics address '", address, "': write HOST:PORT"));
  }
  const std::string& host = parts->host;
  int port = *parts->port;
  auto impl = std::make_unique<Impl>();
  impl->server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  // The library would share the port with whoever else has it.
  impl->server.set_socket_options([](int socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  impl->server.set_payload_max_length(kMaxRequestBytes);
  impl->server.set_read_timeout(kTimeoutSeconds);
  impl->server.set_write_timeout(kTimeoutSeconds);
  // One request a connection: an idle scraper holds no thread.
  impl->server.set_keep_alive_max_count(1);
  impl->server.Get("/metrics",
                   [page = std::move(page)](const httplib::Request&, httplib::Response& response) {
                     response.set_content(page().text(), kContentType);
                   });
  if (port == 0) {
    port = impl->server.bind_to_any_port(host.c_str());
  } else if (!impl->server.bind_to_port(host.c_str(), port)) {
    port = -1;
  }
  if (port < 0) {
    return absl::UnavailableError(absl::StrCat(
        address, ": cannot serve metrics there; is another program using the address?"));
  }
  std::unique_ptr<MetricsServer> server(new MetricsServer(std::move(impl)));
  server->address_ = FormatAddress(host, port);
  server->impl_->thread =
      std::thread([&http = server->impl_->server] { http.listen_after_bind(); });
  while (!server->impl_->server.is_running()) std::this_thread::yield();
  return server;
}

}  // namespace qsweep
