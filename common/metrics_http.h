// Numbers for Prometheus: one page over HTTP, GET /metrics, in its text format 0.0.4.
#ifndef QSWEEP_COMMON_METRICS_HTTP_H_
#define QSWEEP_COMMON_METRICS_HTTP_H_

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace qsweep {

// The page, line by line. Samples of one name come one after the other.
class MetricsPage {
 public:
  using Labels = std::initializer_list<std::pair<absl::string_view, absl::string_view>>;
  // What is what it is now. `help` is a sentence; said once for each name.
  void Gauge(absl::string_view name, absl::string_view help, double value, Labels labels = {});
  // What only rises, until the program starts again; its name ends in _total.
  void Counter(absl::string_view name, absl::string_view help, double value, Labels labels = {});
  // Version, memory, processor time and open files of this process.
  void Process();
  const std::string& text() const { return text_; }

 private:
  void Sample(absl::string_view type, absl::string_view name, absl::string_view help, double value,
              Labels labels);
  std::string text_;
  std::string last_name_;
};

class MetricsServer {
 public:
  // Listens on HOST:PORT (port 0: any that is free) and calls `page` on a thread of its own for
  // each request. Unavailable if the address is taken.
  static absl::StatusOr<std::unique_ptr<MetricsServer>> Start(const std::string& address,
                                                              std::function<MetricsPage()> page);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;
  // HOST:PORT.
  const std::string& address() const { return address_; }

 private:
  struct Impl;
  explicit MetricsServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
  std::string address_;
};

}  // namespace qsweep

#endif  // QSWEEP_COMMON_METRICS_HTTP_H_
