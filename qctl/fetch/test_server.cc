#include "qctl/fetch/test_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status.h"

namespace qsweep::qctl {
namespace {

bool SendAll(int fd, const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t n = ::send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (n <= 0) return false;
    at += static_cast<size_t>(n);
  }
  return true;
}

}  // namespace

TestServer::TestServer(Handler handler) : handler_(std::move(handler)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  QSWEEP_CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
  QSWEEP_CHECK(::listen(listener_, 16) == 0);
  QSWEEP_CHECK(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Serve(); });
}

TestServer::~TestServer() {
  ::shutdown(listener_, SHUT_RDWR);  // accept returns
  thread_.join();
  ::close(listener_);
}

std::string TestServer::url(const std::string& path) const {
  return absl::StrCat("http://127.0.0.1:", port_, path);
}

std::vector<TestServer::Request> TestServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

void TestServer::Serve() {
  while (true) {
    const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) return;
    Answer(connection);
    ::close(connection);
  }
}

void TestServer::Answer(int connection) {
  std::string head;
  char buffer[4096];
  while (head.find("\r\n\r\n") == std::string::npos) {
    const ssize_t n = ::recv(connection, buffer, sizeof buffer, 0);
    if (n <= 0) return;
    head.append(buffer, static_cast<size_t>(n));
  }
  Request request;
  const size_t begin = head.find(' ') + 1;
  request.path = head.substr(begin, head.find(' ', begin) - begin);
  if (const size_t range = head.find("Range: bytes="); range != std::string::npos) {
    const size_t number = range + 13;
    (void)absl::SimpleAtoi(head.substr(number, head.find('-', number) - number),
                           &request.range_begin);
  }
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
  }
  const Reply reply = handler_(request);
  std::string text = absl::StrCat("HTTP/1.1 ", reply.status, " X\r\nConnection: close\r\n");
  for (const std::string& header : reply.headers) absl::StrAppend(&text, header, "\r\n");
  if (!SendAll(connection, text + "\r\n")) return;
  while (SendAll(connection, reply.body) && reply.endless) {
  }
}

TestServer::Reply Serve(const std::string& content, const TestServer::Request& request,
                        size_t most) {
  TestServer::Reply reply;
  const auto size = static_cast<int64_t>(content.size());
  if (request.range_begin >= size) {
    reply.status = 416;
    reply.headers = {absl::StrCat("Content-Range: bytes */", size), "Content-Length: 0"};
    return reply;
  }
  const int64_t begin = request.range_begin < 0 ? 0 : request.range_begin;
  if (request.range_begin >= 0) {
    reply.status = 206;
    reply.headers.push_back(absl::StrCat("Content-Range: bytes ", begin, "-", size - 1, "/", size));
  }
  reply.headers.push_back(absl::StrCat("Content-Length: ", size - begin));
  reply.body = content.substr(begin, most);
  return reply;
}

}  // namespace qsweep::qctl
