<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** The users of this page. Generated: do not edit. */
final class GetAllUsersUser
{
    /** The id of the user. */
    public string $user_id;
    /** The user's name. */
    public string $name;
    /** The user's e-mail address. */
    public string $email;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->user_id = $answer['user_id'];
        $result->name = $answer['name'];
        $result->email = $answer['email'];

        return $result;
    }
}
