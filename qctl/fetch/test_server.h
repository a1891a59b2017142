// A web server for tests, with the faults of real ones.
#ifndef QSWEEP_QCTL_FETCH_TEST_SERVER_H_
#define QSWEEP_QCTL_FETCH_TEST_SERVER_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace qsweep::qctl {

// One request after the other, on 127.0.0.1, each on a connection of its own.
class TestServer {
 public:
  struct Request {
    std::string path;
    int64_t range_begin = -1;  // of "Range: bytes=N-"; -1: none
  };
  struct Reply {
    int status = 200;
    std::vector<std::string> headers;  // "Name: value"; Content-Length is not added
    std::string body;
    bool endless = false;  // the body again and again, until the client has enough
  };
  using Handler = std::function<Reply(const Request&)>;

  explicit TestServer(Handler handler);
  ~TestServer();
  std::string url(const std::string& path = "") const;
  std::vector<Request> requests() const;

 private:
  void Serve();
  void Answer(int connection);

  const Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<Request> requests_;
  std::thread thread_;
};

// As an honest server with ranges answers for `content`, of which at most `most` bytes get through
// before the connection breaks.
TestServer::Reply Serve(const std::string& content, const TestServer::Request& request,
                        size_t most = SIZE_MAX);

}  // namespace qsweep::qctl

#endif  // QSWEEP_QCTL_FETCH_TEST_SERVER_H_
